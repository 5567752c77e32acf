"""Separation without PyTorch: a model that was exported as ONNX, run by onnxruntime.

    from separation import PortableSeparator

Nothing here imports PyTorch. The windows, levels and masks are those of `Separator`, and the stems are the same up to
rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.level import training_gain
from separation.stream import Source, StemStream, Waveform
from utils.errors import InputError
from utils.files import read_json

MASKS, AXIS, SETTINGS = "masks.onnx", "axis.onnx", "onnx.json"  # the files of an exported model
EPSILON = 1e-10  # as in `models.separation_net`
RULES = ("binary", "soft", "shared")
FORMAT = 2  # of onnx.json
LARGEST = 2**27  # of the whole numbers in it, and of a vector's
MOST = 100.0  # of its threshold and log magnitude


@dataclass(frozen=True)
class PortableSettings:
    """What `onnx.json` holds.

    window: samples that the model hears at a time. rule: of its masks. threshold: of binary masks. shares: whether the
    masks of all sources add up to 1. log_magnitude: mean of what it was trained on. vectors: name -> `[C]`.
    """

    window: int
    rate_hz: int
    stft_frame: int
    stft_hop: int
    rule: str
    threshold: float
    shares: bool
    log_magnitude: float
    vectors: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> PortableSettings:
        """Raises InputError if the file is missing or damaged, or of a later version."""
        content = read_json(path)
        if content.get("format") != FORMAT:
            raise InputError(f"{path}: of format {content.get('format')!r:.20}; this version reads {FORMAT}")
        try:
            sizes = {name: _whole(content, name) for name in ("window", "rate_hz", "stft_frame", "stft_hop")}
            numbers = {name: float(content[name]) for name in ("threshold", "log_magnitude")}
            vectors = {name: np.array(vector, np.float64) for name, vector in content["vectors"].items()}
            if content["rule"] not in RULES or not all(abs(number) <= MOST for number in numbers.values()):
                raise ValueError("rule or numbers that cannot be")
            if any(vector.ndim != 1 or not (abs(vector) <= LARGEST).all() for vector in vectors.values()):
                raise ValueError("vectors that are none")
            vectors = {name: vector.astype(np.float32) for name, vector in vectors.items()}
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise InputError(f"{path}: not the settings of an exported model ({error})") from error
        return cls(**sizes, **numbers, rule=content["rule"], shares=bool(content.get("shares")), vectors=vectors)


def _whole(content: dict, name: str) -> int:
    value = content[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise ValueError(f"{name} is not a whole number from 1 to {LARGEST}")
    return value


class PortableSeparator:
    """A model in a folder that `scripts/export.py --onnx` wrote.

    Attributes:
        vectors: name -> what the vision net made of that cloud, `[C]`.

    Raises:
        InputError: onnxruntime is not installed, or a file of the folder is missing or damaged.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        self.settings = PortableSettings.read(folder / SETTINGS)
        self.masks = _session(folder / MASKS, ["magnitude", "vectors"])
        self.axis = _session(folder / AXIS, ["magnitude"])
        settings, magnitude = self.settings, self.masks.get_inputs()[0].shape  # [1, 1, F, T]
        if [settings.stft_frame // 2 + 1, settings.window // settings.stft_hop + 1] != magnitude[2:]:
            raise InputError(f"{folder / SETTINGS}: its window and STFT are not those of {MASKS}")
        self.channels = self.masks.get_inputs()[1].shape[-1]  # C
        self.vectors = self.settings.vectors
        if any(len(vector) != self.channels for vector in self.vectors.values()):
            raise InputError(f"{folder / SETTINGS}: its vectors are not those of {MASKS}, which takes {self.channels}")

    def separate(
        self, waveform: np.ndarray, rate_hz: int, sources: Sequence[str | np.ndarray], masks: str = "auto"
    ) -> np.ndarray:
        """The stems of a recording in memory.

        Args:
            waveform: `[channels, L]`, at `rate_hz`.
            sources: names of `vectors`, or vectors `[C]`, of N sources.
            masks: `binary`, `soft` or `shared`, see `models.mask_rules`; `auto`: as the model was trained.

        Returns:
            `[N, channels, L]` float32, aligned with the waveform and at its level.

        Raises:
            InputError: a waveform of the wrong shape or not finite, a rate below 1, no sources, an unknown name, or a
                vector of the wrong shape.
        """
        waveform = np.asarray(waveform, np.float32)
        if rate_hz < 1:
            raise InputError(f"a rate of {rate_hz} Hz; expected 1 or more")
        if waveform.ndim != 2 or not waveform.size or not np.isfinite(waveform).all():
            raise InputError(f"a waveform is [channels, samples] and finite, not {list(waveform.shape)}")
        return np.concatenate(list(self.stream(Waveform(waveform, rate_hz), sources, masks)), axis=-1)

    def stream(self, source: Source, sources: Sequence[str | np.ndarray], masks: str = "auto") -> StemStream:
        """As `separate`, for a recording that is read piece by piece, such as `dataset.audio.open_recording` gives."""
        rule = self.settings.rule if masks == "auto" else masks
        if rule not in RULES:
            raise InputError(f"masks {masks!r}: expected one of auto, {', '.join(RULES)}")
        if not len(sources):
            raise InputError("no sources to separate")
        if len(sources) == 1 and self.settings.shares:
            raise InputError("this model shares the mixture out among the sources (softmax): it needs two or more")
        vectors, gain = np.stack([self._vector(one) for one in sources]), self._gain(source)
        window, rate_hz = self.settings.window, self.settings.rate_hz
        return StemStream(source, lambda wave: self._separate_window(wave, vectors, gain, rule), window, rate_hz)

    def _vector(self, source: str | np.ndarray) -> np.ndarray:
        if isinstance(source, str):
            if source not in self.vectors:
                raise InputError(f"{source}: not a cloud of this model; it has {', '.join(self.vectors) or 'none'}")
            return self.vectors[source]
        vector = np.asarray(source, np.float32)
        if vector.shape != (self.channels,) or not np.isfinite(vector).all():
            raise InputError(f"a vector of this model has {self.channels} finite numbers, not {list(vector.shape)}")
        return vector

    def _gain(self, source: Source) -> float:
        """The factor that gives a recording the level of the mixtures the model was trained on; 1 for silence."""
        settings = self.settings

        def magnitude_of(wave: np.ndarray) -> np.ndarray:
            return np.abs(self._stft(wave)[0]) + np.float32(EPSILON)

        def on_axis(magnitude: np.ndarray) -> np.ndarray:
            return self.axis.run(None, {"magnitude": magnitude[None, None]})[0]

        return training_gain(magnitude_of, on_axis, settings.log_magnitude, source, settings.window, settings.rate_hz)

    def _separate_window(self, mixture: np.ndarray, vectors: np.ndarray, gain: float, rule: str) -> np.ndarray:
        """One window: `[channels, L]` -> `[N, channels, L]`."""
        spectrum = self._stft(mixture)  # [channels, F, T]
        mono = np.float32(gain) * np.abs(spectrum.mean(axis=0))[None, None] + np.float32(EPSILON)
        pair = np.repeat(vectors, 2, axis=0) if len(vectors) == 1 else vectors  # the model takes two or more
        (masks,) = self.masks.run(None, {"magnitude": mono, "vectors": pair})
        masks = masks[: len(vectors)]  # [N, F, T]
        if rule == "binary":
            masks = (masks > self.settings.threshold).astype(np.float32)
        elif rule == "shared":
            energies, residual = masks.clip(0, 1) ** 2, (1 - masks.clip(0, 1)).prod(axis=0) ** 2
            masks = energies / (energies.sum(axis=0) + residual).clip(min=EPSILON)
        return self._istft(masks[:, None] * spectrum, mixture.shape[-1])

    def _stft(self, wave: np.ndarray) -> np.ndarray:
        """As `utils.spectrogram.stft`: `[channels, L]` -> `[channels, F, T]` complex."""
        size, hop = self.settings.stft_frame, self.settings.stft_hop
        padded = np.pad(wave, ((0, 0), (size // 2, size // 2)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[:, ::hop]  # [channels, T, size]
        return np.fft.rfft(frames * _hann(size), axis=-1).swapaxes(-1, -2).astype(np.complex64)

    def _istft(self, spectrum: np.ndarray, length: int) -> np.ndarray:
        """As `utils.spectrogram.istft`: `[N, channels, F, T]` -> `[N, channels, length]`."""
        size, hop = self.settings.stft_frame, self.settings.stft_hop
        frames = np.fft.irfft(spectrum.swapaxes(-1, -2), size, axis=-1) * _hann(size)  # [N, channels, T, size]
        count = frames.shape[-2]
        wave = np.zeros((*frames.shape[:-2], size + hop * (count - 1)))
        weight = np.zeros(wave.shape[-1])
        for n in range(count):
            wave[..., n * hop : n * hop + size] += frames[..., n, :]
            weight[n * hop : n * hop + size] += _hann(size) ** 2
        inner = slice(size // 2, size // 2 + length)
        wave, weight = wave[..., inner], weight[inner]
        return (wave / np.where(weight > 1e-11, weight, 1)).astype(np.float32)


def _hann(size: int) -> np.ndarray:
    """A periodic Hann window `[size]`."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def _session(path: Path, inputs: list[str]):
    """A model ready to run, which takes these inputs; raises InputError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("onnxruntime is not installed: pip install onnxruntime") from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # of the library's own kinds
        raise InputError(f"{path}: cannot be read as an ONNX model ({str(error).splitlines()[0]})") from error
    if [one.name for one in session.get_inputs()] != inputs:
        raise InputError(f"{path}: another model than scripts/export.py --onnx writes")
    return session
