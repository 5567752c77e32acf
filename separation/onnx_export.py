"""A trained model -> ONNX: what `separation.portable` runs without PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from models import SeparationNet
from models.separation_net import activate
from separation.portable import AXIS, FORMAT, MASKS, SETTINGS
from separation.separator import Seen, Separator
from utils.errors import InputError, WriteError
from utils.files import write_json


class MasksNet(nn.Module):
    """Magnitude `[1, 1, F, T]` of a mixture and vectors `[N, C]` of its sources -> masks `[N, F, T]`, uncut."""

    def __init__(self, net: SeparationNet):
        super().__init__()
        self.net = net

    def forward(self, magnitude: Tensor, vectors: Tensor) -> Tensor:
        heard = self.net.listen(self.net.to_log_frequency(magnitude))  # [1, C, F', T]
        logits = self.net.synthesizer(vectors, heard.expand(vectors.shape[0], -1, -1, -1))  # [N, 1, F', T]
        masks = activate(logits[:, None], self.net.output_activation, dim=0)  # [N, 1, 1, F', T]
        return self.net.linear_masks(masks, magnitude.shape[2], "soft", padding="border")[:, 0]


class AxisNet(nn.Module):
    """Magnitude `[1, 1, F, T]` -> on the model's frequency axis `[F', T]`."""

    def __init__(self, net: SeparationNet):
        super().__init__()
        self.net = net

    def forward(self, magnitude: Tensor) -> Tensor:
        return self.net.to_log_frequency(magnitude)[0, 0]


def export_onnx(separator: Separator, folder: Path, clouds: Mapping[str, Sequence[Seen]]) -> list[Path]:
    """Writes `masks.onnx`, `axis.onnx` and `onnx.json` into an existing folder.

    Args:
        separator: on the CPU.
        clouds: name -> a cloud, or frames of it, as `Separator.separate` takes them: their vectors are stored.

    Returns:
        The files' paths.

    Raises:
        InputError: onnx or onnxscript is not installed, or a cloud is not as the model needs it.
        WriteError: a file cannot be written.
    """
    net, window = separator.net, separator.window
    frames = window.length // net.stft_hop + 1
    magnitude = torch.rand(1, 1, net.stft_frame // 2 + 1, frames) + 0.1
    with torch.no_grad():
        channels = net.listen(net.to_log_frequency(magnitude)).shape[1]
    sample = torch.rand(2, channels)
    vectors = {name: separator.look([cloud, cloud])[0, 0].tolist() for name, cloud in clouds.items()}
    rule = "binary" if net.binary_mask else "soft"
    settings = {"format": FORMAT, "window": window.length, "rate_hz": window.rate_hz, "rule": rule}
    settings |= {"shares": net.output_activation == "softmax"}
    settings |= {"threshold": net.mask_thres, "stft_frame": net.stft_frame, "stft_hop": net.stft_hop}
    settings |= {"log_magnitude": net.sound.bn0.running_mean.item(), "vectors": vectors}
    any_number = {0: torch.export.Dim("sources", min=1, max=1000)}
    try:
        _write(
            MasksNet(net), (magnitude, sample), folder / MASKS, ["magnitude", "vectors"], ["masks"], ({}, any_number)
        )
        _write(AxisNet(net), (magnitude,), folder / AXIS, ["magnitude"], ["on_axis"], ({},))
        write_json(folder / SETTINGS, settings)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return [folder / name for name in (MASKS, AXIS, SETTINGS)]


def _write(module: nn.Module, inputs: tuple, path: Path, names: list[str], outputs: list[str], shapes: tuple) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), torch.inference_mode(False), torch.no_grad():
            module.eval()(*inputs)  # fills what is kept, such as warp grids, with numbers: tracing has none
            torch.onnx.export(
                module,
                inputs,
                str(path),
                input_names=names,
                output_names=outputs,
                dynamic_shapes=shapes,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise InputError(f"{error}; pip install onnx onnxscript") from error
    except torch.onnx.OnnxExporterError as error:
        raise InputError(f"{path.name}: PyTorch cannot export this model ({str(error).splitlines()[0]})") from error
