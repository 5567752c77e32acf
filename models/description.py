"""What describes a model, and how it is computed: the settings that `models.build_separation_net` builds from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSettings:
    """The nets and what their inputs and outputs mean: the options of the same names in `arguments.py`.

    num_labels: instruments that a label net knows; 0 for a net that looks at clouds.
    """

    arch_sound: str
    arch_vision: str
    arch_synthesizer: str
    num_channels: int
    ngf: int
    num_labels: int
    num_frames: int
    frame_pool: str
    vision_activation: str
    sound_activation: str
    output_activation: str
    binary_mask: bool
    mask_thres: float
    loss: str
    weighted_loss: bool
    weight_scale: float
    log_freq: bool
    log_bins: int
    stft_frame: int
    stft_hop: int


@dataclass(frozen=True)
class ComputeSettings:
    """How the U-Net is computed, which changes only rounding: the options of the same names in `arguments.py`."""

    amp: str = "no"
    channels_last: str = "auto"
    tf32: str = "auto"
    compile: bool = False
    grad_checkpoint: bool = False
