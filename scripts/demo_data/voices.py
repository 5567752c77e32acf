"""Synthetic recordings of the five instruments: additive synthesis of random music in a random room."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, iirpeak, lfilter, sosfilt

from demo_data.scores import Manner, Note, compose

SAMPLE_RATE_HZ = 11025  # of the published system
TOP_HZ = 5300.0  # no partial above this at that rate, just below the Nyquist frequency
RMS_DBFS = -20.0
NOISE_FLOOR_DBFS = -60.0
PLUCK_ATTACK_S = 0.004
FADE_S = 0.04  # end of a damped string or of a released bow


@dataclass(frozen=True)
class Timbre:
    """What an instrument sounds like. Ranges (low, high) are drawn once a recording.

    slope: partial k has amplitude k**-slope; even: factor on even partials; attack_s and vibrato (rate in Hz, depth in
    cents) of sustained tones; scoop_cents: how far below the pitch a tone may begin; noise_db: bow or breath noise
    against the tone; noise_hz: its band; resonances: (Hz, Q, gain in dB) of the body or bore, moved a little in every
    recording; ring_s: time to fall by 60 dB of a plucked low string's fundamental; stiffness: inharmonicity B of
    f_k = k f_0 sqrt(1 + B k^2).
    """

    slope: tuple[float, float]
    even: tuple[float, float]
    attack_s: tuple[float, float]
    vibrato_hz: tuple[float, float]
    vibrato_cents: tuple[float, float]
    scoop_cents: float
    noise_db: tuple[float, float]
    noise_hz: tuple[float, float]
    resonances: tuple[tuple[float, float, float], ...]
    ring_s: tuple[float, float] = (1.0, 1.5)
    stiffness: tuple[float, float] = (0.5e-4, 1.5e-4)


MANNERS = {
    "cello": Manner(36, 69, ("lyric", "flowing", "lively"), (60, 112), double_stops=0.08),
    "doublebass": Manner(28, 55, ("lyric", "flowing"), (60, 120), plucks=0.4),
    "guitar": Manner(40, 76, ("flowing", "lively"), (70, 130), chords=0.35),
    "saxophone": Manner(49, 81, ("lyric", "flowing", "lively"), (66, 132)),
    "violin": Manner(55, 88, ("lyric", "flowing", "lively"), (66, 132), double_stops=0.08),
}
TIMBRES = {
    "cello": Timbre(
        (1.0, 1.3), (0.8, 1.1), (0.05, 0.14), (4.8, 6.0), (12, 28), 10, (-22, -15), (800, 4500),
        ((105, 8, 6), (185, 8, 8), (230, 9, 6), (400, 4, 5), (1100, 2.5, 4), (2200, 2, 3)),
    ),
    "doublebass": Timbre(
        (1.1, 1.5), (0.8, 1.1), (0.08, 0.20), (4.2, 5.5), (6, 16), 12, (-21, -14), (400, 2500),
        ((62, 7, 6), (98, 8, 8), (165, 6, 6), (420, 3, 3), (900, 2.5, 2)), (1.2, 2.4), (0.5e-4, 1.2e-4),
    ),
    "guitar": Timbre(
        (0.9, 1.3), (0.9, 1.1), (0.0, 0.0), (0, 0), (0, 0), 0, (-18, -10), (500, 5000),
        ((102, 12, 8), (205, 12, 7), (390, 8, 4), (1500, 2, 2)), (2.2, 4.5), (0.4e-4, 1.6e-4),
    ),
    "saxophone": Timbre(
        (0.5, 0.9), (0.45, 0.85), (0.025, 0.06), (4.6, 5.4), (10, 30), 70, (-18, -10), (1500, 5200),
        ((480, 3, 7), (1150, 3.5, 9), (2300, 4, 6), (3300, 5, 3)),
    ),
    "violin": Timbre(
        (0.9, 1.2), (0.85, 1.1), (0.03, 0.09), (5.2, 6.6), (14, 34), 10, (-21, -14), (1500, 5200),
        ((280, 12, 5), (450, 10, 7), (540, 10, 6), (1000, 4, 3), (2600, 2, 7)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Tone:
    """One recording's own timbre: the ranges of Timbre drawn, and the partials' amplitudes [K]."""

    partials: np.ndarray
    attack_s: float
    vibrato_hz: float
    vibrato_cents: float
    scoop_cents: float
    noise_gain: float
    ring_s: float
    stiffness: float
    pluck_point: float
    tuning: float


def recording(instrument: str, seconds: float, rng: np.random.Generator, rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """A random recording of the instrument: mono samples [L] at `rate_hz` in -1..1, about -20 dBFS RMS."""
    timbre = TIMBRES[instrument]
    tone = draw_tone(timbre, rng)
    length = round(seconds * rate_hz)
    dry, envelope = np.zeros(length, np.float32), np.zeros(length, np.float32)
    for note in compose(MANNERS[instrument], seconds, rng):
        wave, loudness = play(note, tone, rng, rate_hz)
        start = round(note.onset_s * rate_hz)
        wave, loudness = wave[: length - start], loudness[: length - start]
        dry[start : start + len(wave)] += wave
        envelope[start : start + len(wave)] += loudness

    band = butter(2, timbre.noise_hz, "bandpass", fs=rate_hz, output="sos")
    noise = sosfilt(band, rng.standard_normal(length))
    played = _resonate(dry + tone.noise_gain * envelope * noise, timbre, rng, rate_hz)
    return _master(_room(played, rng, rate_hz), rng)


def draw_tone(timbre: Timbre, rng: np.random.Generator) -> Tone:
    """A recording's own variant of an instrument's timbre."""
    order = np.arange(1, 65)
    partials = order ** -rng.uniform(*timbre.slope) * np.where(order % 2 == 0, rng.uniform(*timbre.even), 1.0)
    return Tone(
        partials=partials * 10 ** (rng.normal(0.0, 1.5, len(order)) / 20),
        attack_s=rng.uniform(*timbre.attack_s),
        vibrato_hz=rng.uniform(*timbre.vibrato_hz),
        vibrato_cents=rng.uniform(*timbre.vibrato_cents),
        scoop_cents=timbre.scoop_cents,
        noise_gain=10 ** (rng.uniform(*timbre.noise_db) / 20),
        ring_s=rng.uniform(*timbre.ring_s),
        stiffness=rng.uniform(*timbre.stiffness),
        pluck_point=rng.uniform(0.10, 0.30),
        tuning=2 ** (rng.normal(0.0, 10.0) / 1200),
    )


def play(
    note: Note, tone: Tone, rng: np.random.Generator, rate_hz: int = SAMPLE_RATE_HZ
) -> tuple[np.ndarray, np.ndarray]:
    """One note without room or resonances -> (wave [L], loudness [L] that its noise follows), float32."""
    return (_plucked if note.plucked else _sustained)(note, tone, rng, rate_hz)


def _sustained(note: Note, tone: Tone, rng: np.random.Generator, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """A bowed or blown note -> (wave [L], envelope [L]), float32."""
    length = round((note.duration_s + FADE_S) * rate_hz)
    time = np.arange(length, dtype=np.float32) / rate_hz
    attack_s = min(tone.attack_s * rng.uniform(0.8, 1.3), note.duration_s / 2)
    envelope = np.sin(np.pi / 2 * np.clip(time / attack_s, 0, 1)) ** 2
    envelope *= np.clip((time[-1] - time) / (1.5 * FADE_S), 0, 1)
    envelope *= 1 + rng.uniform(-0.25, 0.25) * np.sin(np.pi * time / time[-1])

    # Vibrato sets in after the attack and is wider on long notes.
    onset = np.clip((time - rng.uniform(0.1, 0.3)) / 0.3, 0, 1)
    depth = tone.vibrato_cents * rng.uniform(0.6, 1.2)
    rate = 2 * np.pi * tone.vibrato_hz * rng.uniform(0.95, 1.05)
    cents = depth * onset * np.sin(rate * time + rng.uniform(0, 2 * np.pi))
    cents -= tone.scoop_cents * rng.uniform(0, 1) ** 2 * np.exp(-time / 0.05)
    cents += rng.normal(0.0, 3.0)
    base_hz = _pitch_hz(note, tone)
    phase = 2 * np.pi * np.cumsum(base_hz * 2 ** (cents / 1200), dtype=float) / rate_hz
    phase = (phase % (2 * np.pi)).astype(np.float32)

    count = min(len(tone.partials), int(_top_hz(rate_hz) / (base_hz * 2 ** ((depth + 5) / 1200))))
    soft, bright = np.zeros(length, np.float32), np.zeros(length, np.float32)
    for order in range(1, count + 1):
        partial = np.float32(tone.partials[order - 1]) * np.sin(order * phase + np.float32(1.7 * order**2 % 6.28))
        share = np.float32(min(1.0, order / 12))  # the higher, the more it depends on playing strongly
        soft += (1 - share) * partial
        bright += share * partial
    wave = note.strength * envelope * (soft + (0.25 + 0.9 * note.strength) * envelope * bright)
    return wave, note.strength * envelope


def _plucked(note: Note, tone: Tone, rng: np.random.Generator, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """A plucked string -> (wave [L], envelope [L] of the plucking noise), float32."""
    base_hz = _pitch_hz(note, tone)
    ring_s = tone.ring_s * (110.0 / max(base_hz, 80.0)) ** 0.4
    seconds = min(note.duration_s * rng.uniform(1.0, 1.6), ring_s) + FADE_S
    time = np.arange(round(seconds * rate_hz), dtype=np.float32) / rate_hz
    order = np.arange(1, len(tone.partials) + 1)
    hz = base_hz * order * np.sqrt(1 + tone.stiffness * order**2)
    amplitudes = (
        tone.partials * np.abs(np.sin(np.pi * order * tone.pluck_point)) * (0.4 + 0.6 * note.strength) ** (order / 8)
    )
    decays = 6.9 / ring_s * (1 + (hz / 900.0) ** 1.2)  # 1/s; 6.9 nepers are 60 dB
    wave = np.zeros(len(time), np.float32)
    for frequency, amplitude, decay in zip(hz, amplitudes, decays, strict=True):
        if frequency > _top_hz(rate_hz):
            break
        alive = time[: max(1, round(min(seconds, 8.0 / decay) * rate_hz))]
        angle = np.float32(2 * np.pi * frequency) * alive + np.float32(rng.uniform(-0.3, 0.3))
        wave[: len(alive)] += np.float32(amplitude) * np.exp(np.float32(-decay) * alive) * np.sin(angle)
    gate = np.clip(time / PLUCK_ATTACK_S, 0, 1)
    gate *= np.clip((time[-1] - time) / FADE_S, 0, 1)
    return 2.0 * note.strength * gate * wave, 2.0 * note.strength * np.exp(-time / 0.012)


def _top_hz(rate_hz: int) -> float:
    return TOP_HZ * rate_hz / SAMPLE_RATE_HZ


def _pitch_hz(note: Note, tone: Tone) -> float:
    return 440.0 * 2 ** ((note.midi - 69) / 12) * tone.tuning


def _resonate(wave: np.ndarray, timbre: Timbre, rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """Adds the body's resonances, each moved by a few per cent: wave [L] -> [L]."""
    resonated = wave.copy()
    for hz, quality, gain_db in timbre.resonances:
        b, a = iirpeak(hz * 2 ** rng.normal(0.0, 0.08), quality, fs=rate_hz)
        resonated += (10 ** ((gain_db + rng.normal(0.0, 1.5)) / 20) - 1) * lfilter(b, a, wave)
    return resonated


def _room(wave: np.ndarray, rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """Adds the reverberation of a random room, an exponentially decaying noise: wave [L] -> [L]."""
    reverberation_s = rng.uniform(0.25, 0.9)
    time = np.arange(round(reverberation_s * rate_hz)) / rate_hz
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / reverberation_s)
    tail = sosfilt(butter(1, rng.uniform(1500, 3500), fs=rate_hz, output="sos"), tail)
    tail[: round(rng.uniform(0.005, 0.02) * rate_hz)] = 0.0
    tail *= 10 ** (rng.uniform(-16, -8) / 20) / np.sqrt((tail**2).sum())
    return wave + fftconvolve(wave, tail)[: len(wave)]


def _master(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sets the level, adds the recording's noise floor and keeps the peak below 1: wave [L] -> [L] float32."""
    rms = np.sqrt((wave**2).mean())
    wave = wave * 10 ** ((RMS_DBFS + rng.uniform(-2.5, 2.5)) / 20) / max(rms, 1e-9)
    wave = wave + rng.standard_normal(len(wave)) * 10 ** (NOISE_FLOOR_DBFS / 20)
    return (wave * min(1.0, 0.95 / np.abs(wave).max())).astype(np.float32)
