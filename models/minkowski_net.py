"""Sparse ResNet18 on voxelised point clouds: the vision net, and the classifier that pretrains its trunk.

Written once for either sparse engine: `ME` below is `models.sparse` or MinkowskiEngine itself (see `backend`).
"""

from __future__ import annotations

import math
from types import ModuleType

import torch
from torch import Tensor, nn

from models import sparse

STAGE_CHANNELS = (64, 128, 256, 512)
STRIDES = (2, 4, 8, 16, 32, 64)  # of the voxels after conv1, the pooling and each stage


class BasicBlock(nn.Module):
    """Two 3^3 convolutions and a shortcut; at stride 2 the shortcut is a 1^3 convolution of the same stride."""

    def __init__(self, ME: ModuleType, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = ME.MinkowskiConvolution(in_channels, out_channels, kernel_size=3, stride=stride, dimension=3)
        self.norm1 = ME.MinkowskiBatchNorm(out_channels)
        self.conv2 = ME.MinkowskiConvolution(out_channels, out_channels, kernel_size=3, dimension=3)
        self.norm2 = ME.MinkowskiBatchNorm(out_channels)
        self.relu = ME.MinkowskiReLU(inplace=True)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(
                ME.MinkowskiConvolution(in_channels, out_channels, kernel_size=1, stride=stride, dimension=3),
                ME.MinkowskiBatchNorm(out_channels),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + shortcut)


def trunk_layers(ME: ModuleType, in_channels: int = 3) -> list[nn.Module]:
    """conv1, bn1, relu, pool and the four stages: voxels at stride 1 -> 512 channels at stride 64."""
    layers = [
        ME.MinkowskiConvolution(in_channels, STAGE_CHANNELS[0], kernel_size=5, stride=2, dimension=3),
        ME.MinkowskiBatchNorm(STAGE_CHANNELS[0]),
        ME.MinkowskiReLU(inplace=True),
        ME.MinkowskiAvgPooling(kernel_size=2, stride=2, dimension=3),
    ]
    channels = STAGE_CHANNELS[0]
    for out_channels in STAGE_CHANNELS:
        layers.append(
            nn.Sequential(BasicBlock(ME, channels, out_channels, 2), BasicBlock(ME, out_channels, out_channels, 1))
        )
        channels = out_channels
    for layer in layers:
        layer.apply(_init_kaiming)
    return layers


def _init_kaiming(module: nn.Module) -> None:
    """Kaiming normal by fan-out, the gain of ReLU: std = sqrt(2 / (Cout * kernel volume))."""
    if hasattr(module, "kernel"):
        volume = module.kernel.shape[0] if module.kernel.ndim == 3 else 1
        nn.init.normal_(module.kernel, std=math.sqrt(2 / (module.kernel.shape[-1] * volume)))


def in_batch_order(pooled) -> Tensor:
    """Features `[B, C]` of a globally pooled tensor; MinkowskiEngine 0.5 returns its rows in hash order."""
    if isinstance(pooled, sparse.SparseTensor):
        return pooled.F
    return pooled.F[pooled.C[:, 0].argsort()]


def apart(coordinates: Tensor, features: Tensor, group_size: int) -> list[tuple[Tensor, Tensor]]:
    """The voxels `[V, 4]`, `[V, 3]` of each group of `group_size` consecutive clouds, numbered from 0 in each."""
    group = coordinates[:, 0].div(group_size, rounding_mode="floor")
    numbered = torch.cat([(coordinates[:, 0] % group_size)[:, None], coordinates[:, 1:]], dim=1)
    return [(numbered[group == g], features[group == g]) for g in range(int(group.max()) + 1)]


class SparseResNet18(nn.Module):
    """The vision net: coordinates `[V, 4]` (cloud, x, y, z) and features `[V, 3]` -> `[number of clouds, C]`.

    Args:
        fc_dim: C, channels of the last convolution.
        engine: the sparse engine's module.

    Raises:
        ValueError: from `forward`, for a cloud without voxels, and in training for a group of clouds that is a single
            voxel at some stride.
    """

    def __init__(self, fc_dim: int, engine: ModuleType = sparse):
        super().__init__()
        self.sparse_tensor = engine.SparseTensor  # the class and not its module, which could not be copied or pickled
        self.features = nn.Sequential(*trunk_layers(engine))
        self.fc = engine.MinkowskiConvolution(STAGE_CHANNELS[-1], fc_dim, kernel_size=3, dimension=3)
        self.pool = engine.MinkowskiGlobalMaxPooling()

    def forward(self, coordinates: Tensor, features: Tensor, group_size: int | None = None) -> Tensor:
        """One pass over all clouds, in which batch norm sees every `group_size` of them apart (None: all together).

        The result, the gradients and the running statistics are those of a pass for each group, one after the other;
        MinkowskiEngine, which has no groups, does run these.
        """
        if issubclass(self.sparse_tensor, sparse.SparseTensor):
            x = self.sparse_tensor(features, coordinates, group_size=group_size, strides=STRIDES)
            seen = self._look(x)
            x.end_pass()
            return seen
        groups = [(coordinates, features)] if group_size is None else apart(coordinates, features, group_size)
        return torch.cat([self._look(self.sparse_tensor(rows, places)) for places, rows in groups])

    def _look(self, x) -> Tensor:
        x = self.features(x)  # [V, 3] -> [V', 512] at stride 64
        return in_batch_order(self.pool(self.fc(x)))  # [clouds, C]

    def load_trunk(self, classifier: dict[str, Tensor]) -> None:
        """Takes the trunk of a `SparseResNet18Classifier` state dict; its head is left aside.

        Raises:
            RuntimeError: from PyTorch, when names or shapes do not fit.
        """
        places = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in (1, 2, 3, 4)}}
        trunk = {}
        for name, value in classifier.items():
            layer, _, rest = str(name).partition(".")
            if layer in places:
                trunk[f"{places[layer]}.{rest}"] = value
        self.features.load_state_dict(trunk)


class SparseResNet18Classifier(nn.Module):
    """The ModelNet40 classifier that pretrains the trunk: `[V, 4]`, `[V, 3]` -> logits `[B, num_classes]`."""

    def __init__(self, num_classes: int = 40, engine: ModuleType = sparse):
        super().__init__()
        self.sparse_tensor = engine.SparseTensor
        self.conv1, self.bn1, self.relu, self.pool, *stages = trunk_layers(engine)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        channels = STAGE_CHANNELS[-1]
        self.conv5 = engine.MinkowskiConvolution(channels, channels, kernel_size=3, stride=3, dimension=3)
        self.bn5 = engine.MinkowskiBatchNorm(channels)
        self.global_pool = engine.MinkowskiGlobalMaxPooling()
        self.final = engine.MinkowskiLinear(channels, num_classes)
        _init_kaiming(self.conv5)

    def forward(self, coordinates: Tensor, features: Tensor) -> Tensor:
        x = self.sparse_tensor(features, coordinates)
        x = self.pool(self.relu(self.bn1(self.conv1(x))))  # [V', 64] at stride 4
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # [V', 512] at stride 64
        x = self.global_pool(self.bn5(self.conv5(x)))  # [B, 512]
        return in_batch_order(self.final(x))  # [B, classes]
