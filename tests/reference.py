"""The inputs and weights behind `vectors/separator_*.npz`, made again from their seeds (see vectors/README.md)."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from models import ModelBuilder, SeparationNet, sparse
from models.criterion import CRITERIA

VECTORS = Path(__file__).parent / "vectors"


def fill(net: nn.Module, seed: int) -> None:
    """Gives every entry of the state dict the reference's values for `seed`."""
    state = {}
    for name, tensor in net.state_dict().items():
        shape, last = tuple(tensor.shape), name.rpartition(".")[2]
        rng = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)  # noqa: NPY002
        value = np.asarray(rng.standard_normal(shape))
        if last == "num_batches_tracked":
            value = np.zeros(shape)
        elif last == "running_var":
            value = 1 + 0.1 * np.abs(value)
        elif last == "running_mean":
            value = 0.1 * value
        elif value.ndim >= 3 or last == "kernel":
            value = value * np.sqrt(2 * shape[-1 if last == "kernel" else 0] / value.size)
        elif last in ("weight", "scale"):
            value = 1 + 0.1 * value
        else:
            value = 0.1 * value
        state[name] = torch.as_tensor(value).to(tensor.dtype)
    net.load_state_dict(state)


def cloud(seed: int, source: int, frame: int, item: int, features: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates `[V, 3]` and features `[V, 3]` of one cloud."""
    rng = np.random.RandomState(seed + 1000 * source + 100 * frame + item)  # noqa: NPY002
    direction = rng.standard_normal((900, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    shell = direction * 40 * np.array([0.5, 0.3, 0.2])
    coordinates = np.floor(shell + rng.uniform(-2, 2, 3) + rng.standard_normal((900, 3)) * 0.4).astype(np.int32)
    first = np.sort(np.unique(coordinates, axis=0, return_index=True)[1])
    coordinates = coordinates[first]
    colours = rng.uniform(0, 1, (len(coordinates), 3)).astype(np.float32)
    if features == "xyz":
        return coordinates, (coordinates * np.float32(0.02) + np.float32(0.01)).astype(np.float32)
    return coordinates, colours


def voxels(seed: int, num_mix: int, num_frames: int, batch: int, features: str) -> tuple[Tensor, Tensor]:
    """All clouds of N sources in K frames of B mixtures: coordinates `[V, 4]`, features `[V, 3]`."""
    clouds = [cloud(seed, n, k, b, features) for n, k, b in np.ndindex(num_mix, num_frames, batch)]
    coordinates = [np.insert(xyz, 0, number, axis=1) for number, (xyz, _) in enumerate(clouds)]
    rows = np.concatenate([rows for _, rows in clouds])
    return torch.from_numpy(np.concatenate(coordinates)), torch.from_numpy(rows)


def waves(seed: int, num_mix: int, batch: int, length: int) -> Tensor:
    """Sources `[N, B, L]`."""
    rng = np.random.RandomState(seed)  # noqa: NPY002
    t = np.arange(length) / 11025
    out = np.zeros((num_mix, batch, length), dtype=np.float32)
    for n in range(num_mix):
        for b in range(batch):
            pitch = 110 * 2 ** rng.uniform(0, 3)
            tone = sum(np.sin(2 * np.pi * pitch * h * t + rng.uniform(0, 6)) / h for h in range(1, 8))
            swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.5, 3) * t)
            out[n, b] = (tone * 0.2 * swell + 0.01 * rng.standard_normal(length)) / num_mix
    return torch.from_numpy(out)


@dataclass
class Case:
    """One file of reference numbers with the model and the inputs it belongs to."""

    numbers: dict[str, np.ndarray]
    model: SeparationNet
    sources: Tensor
    clouds: tuple[Tensor, Tensor]

    @property
    def mixture(self) -> Tensor:
        return self.sources.sum(dim=0)


def load_case(name: str, engine: ModuleType = sparse, device: str | torch.device = "cpu") -> Case:
    numbers = dict(np.load(VECTORS / f"{name}.npz"))
    config, seed = json.loads(str(numbers["config"])), int(numbers["seed"])
    builder, channels = ModelBuilder(), config["num_channels"]
    model = SeparationNet(
        builder.build_sound(config["arch_sound"], channels),
        builder.build_vision("sparseresnet18", channels, engine=engine),
        builder.build_synthesizer(config["arch_synthesizer"], channels),
        criterion=CRITERIA[config["loss"]],
        binary_mask=bool(config.get("binary_mask", 1)),
        weighted_loss=bool(config.get("weighted_loss", 1)),
    )
    for number, net in enumerate((model.sound, model.vision, model.synthesizer)):
        fill(net, seed + number)
    num_mix, batch = config.get("num_mix", 2), config["B"]
    clouds = tuple(part.to(device) for part in voxels(seed, num_mix, 1, batch, config["features"]))
    return Case(numbers, model.to(device), waves(seed, num_mix, batch, config["L"]).to(device), clouds)
