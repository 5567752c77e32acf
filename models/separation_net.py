"""The whole forward of the system: waveforms and point clouds in, masks, loss and separated waveforms out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.criterion import weighted_bce
from models.mask_rules import MASK_RULES
from models.targets import loss_weight, target_masks
from utils.spectrogram import LOG_BINS, istft, stft, unwarp, warp

ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda x, dim: torch.softmax(x, dim),
    "relu": torch.relu,
    "tanh": torch.tanh,
    "no": lambda x: x,
}
FRAME_POOLS = {"maxpool": torch.amax, "avgpool": torch.mean}  # over the K frames of a source
AMP = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}  # precision of the U-Net in training
EPSILON = 1e-10  # keeps the logarithm and the ratio of silent points finite


def activate(x: Tensor, name: str, dim: int) -> Tensor:
    """Applies an activation by name to `[...]`; softmax runs over `dim`."""
    return ACTIVATIONS[name](x, dim) if name == "softmax" else ACTIVATIONS[name](x)


@dataclass
class Separation:
    """What one forward knows. F' is `log_bins` with `log_freq`, else the F bins of the STFT.

    spectrum: complex mixture `[B, F, T]`. magnitude: of the mixture, warped, `[B, 1, F', T]`. weight: `[B, 1, F', T]`.
    sound_features: `[B, C, F', T]`. vision_features: `[N, B, C]`. masks: predicted, before any threshold,
    `[N, B, 1, F', T]`. targets: the same shape, or None when only a mixture was given. loss: a scalar, or None.
    """

    spectrum: Tensor
    magnitude: Tensor
    weight: Tensor
    sound_features: Tensor
    vision_features: Tensor
    masks: Tensor
    targets: Tensor | None = None
    loss: Tensor | None = None


class SeparationNet(nn.Module):
    """U-Net, vision net and fusion module as one: the masks of N sources from a mixture and their clouds.

    Args:
        sound: `[B, 1, F', T] -> [B, C, F', T]`.
        vision: (coordinates `[V, 4]`, features `[V, 3]`, clouds of a group) -> `[clouds, C]`; a label net takes labels
            instead of coordinates and features.
        synthesizer: (`[B, C]`, `[B, C, F', T]`) -> `[B, 1, F', T]`.
        criterion: (prediction, target, weight), each `[B, 1, F', T]`, -> scalar.
        amp: precision of the sound net in training; its output, and everything else, is float32.
        The rest are the options of the same names in `arguments.py`.
    """

    def __init__(
        self,
        sound: nn.Module,
        vision: nn.Module,
        synthesizer: nn.Module,
        *,
        num_frames: int = 1,
        frame_pool: str = "maxpool",
        vision_activation: str = "sigmoid",
        sound_activation: str = "no",
        output_activation: str = "sigmoid",
        binary_mask: bool = True,
        mask_thres: float = 0.5,
        criterion: Callable[[Tensor, Tensor, Tensor], Tensor] = weighted_bce,
        weighted_loss: bool = False,
        weight_scale: float = 1.0,
        log_freq: bool = True,
        log_bins: int = LOG_BINS,
        stft_frame: int = 1022,
        stft_hop: int = 256,
        amp: str = "no",
    ):
        super().__init__()
        self.sound, self.vision, self.synthesizer = sound, vision, synthesizer
        self.num_frames, self.frame_pool = num_frames, FRAME_POOLS[frame_pool]
        self.vision_activation, self.sound_activation = vision_activation, sound_activation
        self.output_activation = output_activation
        self.binary_mask, self.mask_thres = binary_mask, mask_thres
        self.log_freq, self.log_bins = log_freq, log_bins
        self.criterion, self.weighted_loss, self.weight_scale = criterion, weighted_loss, weight_scale
        self.stft_frame, self.stft_hop = stft_frame, stft_hop
        self.amp = AMP[amp]

    def forward(self, mixture: Tensor, clouds: tuple[Tensor, ...], sources: Tensor | None = None) -> Separation:
        """Masks, and with the `sources` also their targets and the loss.

        Args:
            mixture: waveform `[B, L]`.
            clouds: of N sources in K frames, see `look`.
            sources: waveforms `[N, B, L]` whose sum is the mixture.

        Returns:
            A `Separation`.

        Raises:
            ValueError: a cloud without voxels, or clouds of another number of sources than there are waveforms.
        """
        # The host waits for numbers of the clouds, so these come first: the device has nothing else to finish yet.
        seen = self.look(clouds, len(mixture))  # [N, B, C]
        if sources is not None and len(seen) != len(sources):
            raise ValueError(f"clouds of {len(seen)} sources, but waveforms of {len(sources)}")
        spectrum = stft(mixture, self.stft_frame, self.stft_hop)  # [B, F, T]
        magnitude = self.to_log_frequency(spectrum.abs().unsqueeze(1) + EPSILON)  # [B, 1, F', T]
        weight = loss_weight(magnitude, self.weighted_loss, self.weight_scale)  # [B, 1, F', T]
        heard = self.listen(magnitude)  # [B, C, F', T]
        masks = self.fuse(seen, heard)  # [N, B, 1, F', T]

        result = Separation(spectrum, magnitude, weight, heard, seen, masks)
        if sources is not None:
            result.targets = self.targets(magnitude, sources)  # [N, B, 1, F', T]
            losses = [self.criterion(mask, target, weight) for mask, target in zip(masks, result.targets, strict=True)]
            result.loss = torch.stack(losses).mean()
        return result

    def listen(self, magnitude: Tensor) -> Tensor:
        """Magnitude `[B, 1, F', T]` of the mixture -> features `[B, C, F', T]`."""
        half = self.training and self.amp is not None
        with torch.autocast(magnitude.device.type, self.amp, enabled=half):
            heard = self.sound(magnitude.log())
        return activate(heard.to(magnitude.dtype), self.sound_activation, dim=1)

    def look(self, clouds: tuple[Tensor, ...], num_mixtures: int) -> Tensor:
        """The clouds of N sources in K frames of B mixtures, or their labels -> features `[N, B, C]`.

        As in the reference batch norm sees the B clouds of one source and one frame together, and no others; its
        running statistics follow them sources outermost.

        Args:
            clouds: coordinates `[V, 4]` int, the first column `(n * K + k) * B + b`, and features `[V, 3]`; for a
                label net the labels `[N * K * B]` int alone.
            num_mixtures: B.

        Raises:
            ValueError: a cloud without voxels: its features would be those of the next.
        """
        features = self.vision(*clouds, group_size=num_mixtures)  # [N * K * B, C]
        if len(features) % (num_mixtures * self.num_frames):
            raise ValueError(
                f"{len(features)} clouds are no whole number of sources with {self.num_frames} frame(s) of "
                f"{num_mixtures} mixture(s) each: those at the end have no voxels"
            )
        frames = features.unflatten(0, (-1, self.num_frames, num_mixtures))  # [N, K, B, C]
        return activate(self.frame_pool(frames, dim=1), self.vision_activation, dim=2)

    def fuse(self, seen: Tensor, heard: Tensor) -> Tensor:
        """`[N, B, C]` and `[B, C, F', T]` -> masks `[N, B, 1, F', T]`; softmax shares out among the sources."""
        logits = torch.stack([self.synthesizer(source, heard) for source in seen])
        return activate(logits, self.output_activation, dim=0)

    def targets(self, magnitude: Tensor, sources: Tensor) -> Tensor:
        """What the masks should be: mixture `[B, 1, F', T]`, waveforms `[N, B, L]` -> `[N, B, 1, F', T]`."""
        magnitudes = stft(sources, self.stft_frame, self.stft_hop).abs().unsqueeze(2)  # [N, B, 1, F, T]
        warped = self.to_log_frequency(magnitudes.flatten(0, 1)).unflatten(0, magnitudes.shape[:2])
        return target_masks(magnitude, warped, self.binary_mask)

    def to_log_frequency(self, magnitude: Tensor) -> Tensor:
        """`[B, 1, F, T] -> [B, 1, log_bins, T]` with `log_freq`, unchanged without."""
        return warp(magnitude, self.log_bins) if self.log_freq else magnitude

    def apply_masks(self, spectrum: Tensor, masks: Tensor, rule: str = "auto") -> Tensor:
        """Separated waveforms: mixture `[B, F, T]` complex, masks `[N, B, 1, F', T]` -> `[N, B, hop * (T - 1)]`.

        Masks go back to linear frequency and follow the `rule` (see `linear_masks`); the mixture lends its phase.
        """
        return self.apply_linear_masks(spectrum, self.linear_masks(masks, spectrum.shape[-2], rule))

    def apply_linear_masks(self, spectrum: Tensor, masks: Tensor) -> Tensor:
        """As `apply_masks`, of masks on the STFT's bins: `[B, F, T]`, `[N, B, F, T]` -> `[N, B, hop * (T - 1)]`."""
        return istft(masks * spectrum, self.stft_frame, self.stft_hop).clamp(-1.0, 1.0)

    def linear_masks(self, masks: Tensor, num_bins: int, rule: str = "auto", padding: str = "zeros") -> Tensor:
        """Masks `[N, B, 1, F', T]` on the STFT's bins: `[N, B, F, T]`.

        rule: of `models.mask_rules`; `auto` cuts binary masks at `mask_thres` and keeps ratio masks, as published.
        padding: of the outermost frames and bins, which the logarithmic axis covers by half (see `unwarp`).
        """
        linear = masks.flatten(0, 1)  # [N * B, 1, F', T]
        if self.log_freq:
            linear = unwarp(linear, num_bins, padding)  # [N * B, 1, F, T]
        linear = linear.squeeze(1).unflatten(0, masks.shape[:2])
        return self.ruled(linear, rule)

    def ruled(self, masks: Tensor, rule: str = "auto") -> Tensor:
        """Masks `[N, ...]` as the `rule` has them, see `linear_masks`."""
        if rule == "auto":
            rule = "binary" if self.binary_mask else "soft"
        return MASK_RULES[rule](masks, self.mask_thres)
