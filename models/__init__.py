"""Names of architectures -> nets, and the nets joined into one separator."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from models import sparse
from models.audio_net import Unet
from models.criterion import CRITERIA
from models.description import ComputeSettings, ModelSettings
from models.label_net import LabelNet
from models.minkowski_net import SparseResNet18
from models.separation_net import SeparationNet
from models.synthesizer_net import Bias, InnerProduct
from utils.checkpoint import check_finite, check_fit, fill, load
from utils.errors import InputError
from utils.shared_weights import ENDING, load_net

SOUND_NETS = {"unet5": 5, "unet6": 6, "unet7": 7}  # levels of the U-Net
VISION_NETS = {"sparseresnet18": SparseResNet18, "label": LabelNet}
FUSIONS = {"linear": InnerProduct, "bias": lambda fc_dim: Bias()}

# Whether the U-Net's channels lie innermost in memory, on a device, with the other settings.
CHANNELS_LAST = {
    "auto": lambda device, compute: (
        device.type == "cpu" or (device.type == "cuda" and (compute.amp != "no" or compute.tf32 != "no"))
    ),
    "yes": lambda device, compute: True,
    "no": lambda device, compute: False,
}
COMPUTE = ComputeSettings()

__all__ = [
    *("CHANNELS_LAST", "CRITERIA", "FUSIONS", "SOUND_NETS", "VISION_NETS"),
    *("ComputeSettings", "ModelBuilder", "ModelSettings", "SeparationNet", "build_separation_net"),
]


# oneDNN's half-precision convolutions by AMX read beyond small images and give NaN (PyTorch 2.13); this leaves AMX out.
SOUND_ISA = "AVX512_CORE_FP16"


class ModelBuilder:
    """Makes the nets by name, with new weights or those of a file.

    Every method raises `InputError` for an unknown name, listing the known ones, and for a weights file that is
    unreadable or of another architecture.
    """

    def build_sound(self, arch: str = "unet5", fc_dim: int = 64, weights: str = "", ngf: int = 64) -> Unet:
        """A U-Net with `fc_dim` output channels and `ngf` channels at its outermost level."""
        return _filled(
            partial(Unet, fc_dim, num_downs=_choose(SOUND_NETS, arch, "sound net"), ngf=ngf), weights, "sound"
        )

    def build_vision(
        self,
        arch: str = "sparseresnet18",
        fc_dim: int = 64,
        weights: str = "",
        engine: ModuleType = sparse,
        num_labels: int = 0,
    ) -> nn.Module:
        """A vision net with `fc_dim` output channels on a sparse engine (see `models.backend`), or for `num_labels`."""
        net = _choose(VISION_NETS, arch, "vision net")
        return _filled(partial(net, fc_dim, num_labels if net is LabelNet else engine), weights, "vision")

    def build_synthesizer(self, arch: str = "linear", fc_dim: int = 64, weights: str = "") -> nn.Module:
        """A fusion module for `fc_dim` channels."""
        return _filled(partial(_choose(FUSIONS, arch, "fusion module"), fc_dim), weights, "synthesizer")

    def build_criterion(self, arch: str = "bce") -> Callable:
        """A loss (prediction, target, weight), all `[B, 1, F, T]`, -> scalar."""
        return _choose(CRITERIA, arch, "loss")


def _choose(registry: dict, name: str, kind: str):
    if name not in registry:
        raise InputError(f"unknown {kind} {name!r}; known: {', '.join(registry)}")
    return registry[name]


def load_state(weights: str | Path, net: str) -> dict:
    """The state dict of `sound`, `vision` or `synthesizer` in a file of its own, or in a safetensors file of all three.

    Raises:
        InputError: the file is unreadable, or holds something else.
    """
    return load_net(weights, net) if str(weights).endswith(ENDING) else load(weights)


def _filled(make: Callable[[], nn.Module], weights: str, name: str) -> nn.Module:
    """The net that `make` makes; not made for weights of another size, because such a net could take all memory."""
    if not weights:
        return make()
    content = load_state(weights, name)
    with torch.device("meta"):  # names and shapes, without numbers
        check_fit(make(), content, weights)
    net = make()
    fill(net, content, weights)
    return net


def build_separation_net(
    model: ModelSettings,
    weights: Mapping[str, str] | None = None,
    compute: ComputeSettings = COMPUTE,
    engine: ModuleType = sparse,
    device: torch.device | str = "cpu",
) -> SeparationNet:
    """A separator on a device, with new weights or those of files.

    Args:
        weights: of `sound`, `vision` and `synthesizer`, those that start from the state dict in a file.
        compute: how the U-Net is computed.
        engine: the sparse engine that the vision net runs on, see `models.backend`.

    Raises:
        InputError: a weights file that does not fit, or nothing here that compiles for `compile`.
    """
    if compute.amp != "no" and torch.device(device).type == "cpu":
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", SOUND_ISA)
    builder, channels = ModelBuilder(), model.num_channels
    files = {"sound": "", "vision": "", "synthesizer": "", **(weights or {})}
    sound = builder.build_sound(model.arch_sound, channels, files["sound"], model.ngf)
    if CHANNELS_LAST[compute.channels_last](torch.device(device), compute):
        sound.to(memory_format=torch.channels_last)
    if compute.grad_checkpoint:
        sound.recompute()
    if compute.compile:
        check_compiler(torch.device(device))
        sound.compile()
    return SeparationNet(
        sound,
        builder.build_vision(model.arch_vision, channels, files["vision"], engine, model.num_labels),
        builder.build_synthesizer(model.arch_synthesizer, channels, files["synthesizer"]),
        criterion=builder.build_criterion(model.loss),
        num_frames=model.num_frames,
        frame_pool=model.frame_pool,
        vision_activation=model.vision_activation,
        sound_activation=model.sound_activation,
        output_activation=model.output_activation,
        binary_mask=model.binary_mask,
        mask_thres=model.mask_thres,
        weighted_loss=model.weighted_loss,
        weight_scale=model.weight_scale,
        log_freq=model.log_freq,
        log_bins=model.log_bins,
        stft_frame=model.stft_frame,
        stft_hop=model.stft_hop,
        amp=compute.amp,
    ).to(device)


def check_compiler(device: torch.device) -> None:
    """Raises InputError where `torch.compile` does not work: on a CPU it needs a C++ compiler."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except Exception as error:  # each backend has errors of its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"--compile 1: torch.compile does not work here ({reason})") from error


def start_from_classifier(vision: SparseResNet18, path: str | Path) -> None:
    """Fills the vision net's trunk from a pretrained classifier: a file that holds `state_dict`.

    Raises:
        InputError: the file is unreadable, or holds another architecture or numbers that are not finite.
    """
    classifier = load(path).get("state_dict")
    if not isinstance(classifier, dict):
        raise InputError(f"{path}: expected a pretrained classifier under the key 'state_dict'")
    try:
        vision.load_trunk(classifier)
    except RuntimeError as error:
        raise InputError(f"{path}: not a sparse ResNet18 ({str(error).splitlines()[-1].strip()})") from error
    check_finite(vision.features.state_dict(), path)
