"""Separation with a trained run: a mixture and the clouds of its musicians -> stems."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arguments import choose_device, run_called
from dataset.collate import collate_frames
from dataset.settings import FrameSettings, VoxelSettings, Window
from dataset.voxels import Voxels, make_voxels
from from_options import build_model, frames_of, voxels_of, window_of
from models import SeparationNet
from models.backend import choose_engine
from models.mask_rules import MASK_RULES
from models.separation_net import EPSILON
from runs.folder import run_options
from separation.level import training_gain
from separation.stream import Source, StemStream, Waveform, windows_of
from utils.errors import InputError
from utils.files import is_there
from utils.hub import NAME, pull
from utils.precision import computing
from utils.spectrogram import istft, stft

Cloud = tuple[np.ndarray, np.ndarray | None]  # points [P, 3] in metres, Y up; colours [P, 3], or None
Seen = Cloud | Sequence[Cloud] | str  # what identifies a source: its cloud, K frames of it, or for a label net its name


class Separator:
    """A trained model that separates recordings of any rate, length and number of channels.

    Args:
        net: the trained model.
        window, frames, voxels: what it hears of a recording at a time, and sees of a musician and of a cloud.
        num_mix: sources in the mixtures that it was trained on.
        instruments: that a label model knows; empty for a model that looks at clouds.
    """

    def __init__(
        self,
        net: SeparationNet,
        window: Window,
        frames: FrameSettings,
        voxels: VoxelSettings,
        *,
        num_mix: int = 2,
        instruments: Sequence[str] = (),
    ):
        self.net, self.window, self.frames, self.voxels = net.eval(), window, frames, voxels
        self.num_mix, self.instruments = num_mix, list(instruments)
        self.device = next(net.parameters()).device
        self.net.sound.to(memory_format=torch.channels_last)  # a layout in which convolutions on a CPU are faster

    @classmethod
    def from_run(cls, path: str | Path, device: str = "auto") -> Separator:
        """The best model in the folder of a run.

        Args:
            path: `ckpt/<run>`; without `config.json` it holds the published weights.
            device: `auto`, `cuda`, `cpu` or `mps`.

        Raises:
            InputError: no such run or device, or files in it that are damaged or do not fit one another.
        """
        options, where = run_options(Path(path)), choose_device(device)
        net = build_model(options, choose_engine(options.sparse_backend, where), where)
        seen = window_of(options), frames_of(options), voxels_of(options)
        return cls(net, *seen, num_mix=options.num_mix, instruments=options.instruments)

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str = "auto") -> Separator:
        """A model that was exported with `scripts/export.py`, or the best one of a run.

        Args:
            name: its folder; or `owner/name` of a model on the Hugging Face Hub, if there is no folder of that name.
            device: as in `from_run`.

        Raises:
            InputError: as `from_run`, or the model cannot be downloaded.
        """
        is_remote = NAME.fullmatch(str(name)) and not is_there(run_called(name))
        return cls.from_run(pull(str(name)) if is_remote else name, device)

    def separate(self, waveform: np.ndarray, rate_hz: int, clouds: Sequence[Seen], masks: str = "auto") -> np.ndarray:
        """The stems of a recording in memory.

        Args:
            waveform: `[channels, L]`.
            rate_hz: of the waveform.
            clouds: of each of the N sources the cloud, or K of them, a frame each: points `[P, 3]` in metres, Y up,
                and colours `[P, 3]` (0..1, or whole numbers up to the largest of their type), None for a model that
                needs none. For a run that was trained on labels the names of the instruments.
            masks: what the mixture is multiplied by: `binary`, `soft` or `shared` masks, see `models.mask_rules`;
                `auto` is as the model was trained, binary or soft.

        Returns:
            `[N, channels, L]` float32, aligned with the waveform and at its level.

        Raises:
            InputError: a waveform or clouds of the wrong shape, without samples or points, or not finite.
        """
        waveform = np.asarray(waveform, dtype=np.float32)
        if waveform.ndim != 2 or not waveform.size:
            raise InputError(f"a waveform is [channels, samples], not {list(waveform.shape)}")
        if not np.isfinite(waveform).all():
            raise InputError("the waveform holds NaN or infinite samples")
        if rate_hz < 1:
            raise InputError(f"a rate of {rate_hz} Hz; expected 1 or more")
        return np.concatenate(list(self.stream(Waveform(waveform, rate_hz), clouds, masks)), axis=-1)

    def stream(self, source: Source, clouds: Sequence[Seen], masks: str = "auto") -> StemStream:
        """As `separate`, for a recording read piece by piece; raises InputError as both do."""
        if masks not in ("auto", *MASK_RULES):
            raise InputError(f"masks {masks!r}: expected one of auto, {', '.join(MASK_RULES)}")
        separate_window = partial(self.separate_window, seen=self.look(clouds), gain=self.gain(source), masks=masks)
        return StemStream(source, separate_window, self.window.length, self.window.rate_hz)

    def num_windows(self, source: Source) -> int:
        """The length of `stream` for a recording; raises InputError as `separate`."""
        return len(windows_of(source, self.window.length, self.window.rate_hz))

    @computing("eval")
    @torch.inference_mode()
    def look(self, clouds: Sequence[Seen]) -> Tensor:
        """Vision features `[N, 1, C]` of the clouds of N sources; raises InputError as `separate`."""
        if not clouds:
            raise InputError("no clouds: there is nobody to listen for")
        if len(clouds) == 1 and self.net.output_activation == "softmax":
            raise InputError("this run shares the mixture out among the sources (softmax): it needs two clouds or more")
        read = self._label if self.instruments else self._frames
        sources = [read(f"source {n}", cloud) for n, cloud in enumerate(clouds, 1)]
        batch = (torch.tensor(sources),) if self.instruments else collate_frames([[one] for one in sources])
        return self.net.look(tuple(part.to(self.device) for part in batch), num_mixtures=1)

    def _label(self, name: str, instrument: Seen) -> int:
        known = self.instruments
        if instrument not in known:
            shown = repr(instrument) if isinstance(instrument, str) else "a cloud"
            raise InputError(f"{name}: {shown}; this run was trained on labels and knows {', '.join(known)}")
        return known.index(instrument)

    def _frames(self, name: str, cloud: Seen) -> list[Voxels]:
        if isinstance(cloud, str):
            raise InputError(f"{name}: {cloud!r}; this run was trained on clouds, not on labels")
        frames = [cloud] if isinstance(cloud, tuple) else cloud
        if len(frames) not in (1, self.net.num_frames):
            raise InputError(f"{name}: {len(frames)} frames, this run takes {self.net.num_frames}")
        voxels = [self.voxels_of(name, *frame) for frame in frames]
        return voxels * (self.net.num_frames // len(voxels))

    def voxels_of(self, name: str, xyz: np.ndarray, rgb: np.ndarray | None) -> Voxels:
        """What the vision net sees of a cloud `[P, 3]`: coordinates `[V, 3]`, features `[V, 3]`.

        Raises:
            InputError: the cloud called `name` has a wrong shape or no points, or is not finite, or lacks the colours.
        """
        if np.ndim(xyz) != 2 or np.shape(xyz)[1] != 3:
            raise InputError(f"{name}: points are [P, 3], not {list(np.shape(xyz))}")
        if not len(xyz):
            raise InputError(f"{name}: the cloud holds no points")
        if not np.isfinite(xyz).all():
            raise InputError(f"{name}: the cloud holds points that are NaN or infinite")
        if rgb is None and self.voxels.colours:
            raise InputError(f"{name}: a cloud without colours, and this run was trained on colours")
        if rgb is not None and np.shape(rgb) != np.shape(xyz):
            raise InputError(f"{name}: colours are [P, 3] as the points, not {list(np.shape(rgb))}")
        return make_voxels(name, xyz, rgb, self.voxels)

    def gain(self, source: Source) -> float:
        """The factor that brings a recording to the level of the mixtures the model was trained on."""
        net, window = self.net, self.window
        expected = net.sound.bn0.running_mean.item()

        def magnitude_of(wave: np.ndarray) -> np.ndarray:
            return stft(torch.from_numpy(wave), net.stft_frame, net.stft_hop)[0].abs().numpy() + np.float32(EPSILON)

        def on_axis(magnitude: np.ndarray) -> np.ndarray:
            return net.to_log_frequency(torch.from_numpy(magnitude)[None, None])[0, 0].numpy()

        return training_gain(magnitude_of, on_axis, expected, source, window.length, window.rate_hz)

    @computing("eval")
    @torch.inference_mode()
    def separate_window(self, mixture: np.ndarray, seen: Tensor, gain: float, masks: str) -> np.ndarray:
        """One window of the model: `[channels, L]` at audRate, seen `[N, 1, C]` -> `[N, channels, L]`.

        The masks come from the mean of the channels, at the level of training, and are applied to each channel as it
        is.
        """
        net = self.net
        spectrum = stft(torch.from_numpy(mixture).to(self.device), net.stft_frame, net.stft_hop)  # [channels, F, T]
        mono = gain * spectrum.mean(dim=0).abs()[None, None]  # [1, 1, F, T]
        heard = net.listen(net.to_log_frequency(mono + EPSILON))  # [1, C, F', T]
        linear = net.linear_masks(net.fuse(seen, heard), spectrum.shape[1], masks, padding="border")  # [N, 1, F, T]
        stems = istft(linear * spectrum, net.stft_frame, net.stft_hop, mixture.shape[-1])
        return stems.cpu().numpy()
