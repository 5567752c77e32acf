"""Separation without PyTorch: a model that was exported as ONNX, run by onnxruntime.

    from separation import PortableSeparator

Nothing here imports PyTorch. The windows, levels and masks are those of `Separator`, and the stems are the same up to
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from separation.stream import Source, StemStream, Waveform
from utils.errors import InputError
from utils.files import read_json

MASKS, LEVEL, SETTINGS = "masks.onnx", "level.onnx", "onnx.json"  # the files of an exported model
EPSILON = 1e-10  # as in `models.separation_net`
WINDOWS = 32  # evenly spread windows of a recording from which its level is taken
ACTIVE_DB = -40.0  # frames below this, against the loudest, are pauses
RULES = ("binary", "soft", "shared")


class PortableSeparator:
    """A model in a folder that `scripts/export.py --onnx` wrote.

    Attributes:
        vectors: name -> what the vision net made of that cloud, `[C]`.

    Raises:
        InputError: onnxruntime is not installed, or a file of the folder is missing or damaged.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        self.settings = read_json(folder / SETTINGS)
        self.masks, self.level = (_session(folder / name) for name in (MASKS, LEVEL))
        self.vectors = {name: np.array(vector, np.float32) for name, vector in self.settings["vectors"].items()}

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
            InputError: a waveform of the wrong shape or not finite, no sources, or an unknown name.
        """
        waveform = np.asarray(waveform, np.float32)
        if waveform.ndim != 2 or not waveform.size or not np.isfinite(waveform).all():
            raise InputError(f"a waveform is [channels, samples] and finite, not {list(waveform.shape)}")
        return np.concatenate(list(self.stream(Waveform(waveform, rate_hz), sources, masks)), axis=-1)

    def stream(self, source: Source, sources: Sequence[str | np.ndarray], masks: str = "auto") -> StemStream:
        """As `separate`, for a recording that is read piece by piece, such as `dataset.audio.open_recording` gives."""
        rule = self.settings["rule"] if masks == "auto" else masks
        if rule not in RULES:
            raise InputError(f"masks {masks!r}: expected one of auto, {', '.join(RULES)}")
        if not len(sources):
            raise InputError("no sources to separate")
        if len(sources) == 1 and self.settings["shares"]:
            raise InputError("this model shares the mixture out among the sources (softmax): it needs two or more")
        vectors, gain = np.stack([self._vector(one) for one in sources]), self._gain(source)
        window, rate_hz = self.settings["window"], self.settings["rate_hz"]
        return StemStream(source, lambda wave: self._separate_window(wave, vectors, gain, rule), window, rate_hz)

    def _vector(self, source: str | np.ndarray) -> np.ndarray:
        if isinstance(source, str):
            if source not in self.vectors:
                raise InputError(f"{source}: not a cloud of this model; it has {', '.join(self.vectors) or 'none'}")
            return self.vectors[source]
        return np.asarray(source, np.float32)

    def _gain(self, source: Source) -> float:
        """The factor that gives a recording the level of the mixtures the model was trained on; 1 for silence."""
        window, rate_hz = self.settings["window"], self.settings["rate_hz"]
        last = max(source.length_at(rate_hz) - window, 0)
        frames = []
        for start in np.unique(np.linspace(0, last, WINDOWS).round().astype(int)).tolist():
            spectrum = self._stft(source.read(start, window, rate_hz, mono=True))  # [1, F, T]
            frames.append(self.level.run(None, {"magnitude": np.abs(spectrum)[None] + np.float32(EPSILON)}))
        power, log_magnitude = (np.concatenate(part) for part in zip(*frames, strict=True))
        if power.max() <= EPSILON:
            return 1.0
        is_active = power > power.max() * 10 ** (ACTIVE_DB / 10)
        return math.exp(self.settings["log_magnitude"] - log_magnitude[is_active].mean())

    def _separate_window(self, mixture: np.ndarray, vectors: np.ndarray, gain: float, rule: str) -> np.ndarray:
        """One window: `[channels, L]` -> `[N, channels, L]`."""
        spectrum = self._stft(mixture)  # [channels, F, T]
        mono = np.float32(gain) * np.abs(spectrum.mean(axis=0))[None, None] + np.float32(EPSILON)
        pair = np.repeat(vectors, 2, axis=0) if len(vectors) == 1 else vectors  # the model takes two or more
        (masks,) = self.masks.run(None, {"magnitude": mono, "vectors": pair})
        masks = masks[: len(vectors)]  # [N, F, T]
        if rule == "binary":
            masks = (masks > self.settings["threshold"]).astype(np.float32)
        elif rule == "shared":
            energies, residual = masks.clip(0, 1) ** 2, (1 - masks.clip(0, 1)).prod(axis=0) ** 2
            masks = energies / (energies.sum(axis=0) + residual).clip(min=EPSILON)
        return self._istft(masks[:, None] * spectrum, mixture.shape[-1])

    def _stft(self, wave: np.ndarray) -> np.ndarray:
        """As `utils.spectrogram.stft`: `[channels, L]` -> `[channels, F, T]` complex."""
        size, hop = self.settings["stft_frame"], self.settings["stft_hop"]
        padded = np.pad(wave, ((0, 0), (size // 2, size // 2)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[:, ::hop]  # [channels, T, size]
        return np.fft.rfft(frames * _hann(size), axis=-1).swapaxes(-1, -2).astype(np.complex64)

    def _istft(self, spectrum: np.ndarray, length: int) -> np.ndarray:
        """As `utils.spectrogram.istft`: `[N, channels, F, T]` -> `[N, channels, length]`."""
        size, hop = self.settings["stft_frame"], self.settings["stft_hop"]
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


def _session(path: Path):
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("onnxruntime is not installed: pip install onnxruntime") from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # of the library's own kinds
        raise InputError(f"{path}: cannot be read as an ONNX model ({str(error).splitlines()[0]})") from error
