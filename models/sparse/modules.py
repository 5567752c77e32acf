"""Layers with MinkowskiEngine's names, parameters and state-dict keys, on the built-in sparse tensor."""

from __future__ import annotations

import math

import torch
from torch import nn

from models.sparse import functional
from models.sparse.batch_norm import check_groups, normalise_by_groups
from models.sparse.tensor import SparseTensor
from utils.sync_batch_norm import SyncBatchNorm

DIMENSION = 3


class MinkowskiConvolution(nn.Module):
    """Generalised convolution with a cubic kernel: `[V_in, Cin]` -> `[V_out, Cout]`, no padding to choose.

    The parameter `kernel` is `[kernel_size^3, Cin, Cout]`, or `[Cin, Cout]` for size 1 at stride 1.

    Raises:
        ValueError: a dimension other than 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        bias: bool = False,
        dimension: int = DIMENSION,
    ):
        super().__init__()
        if dimension != DIMENSION:
            raise ValueError(f"the built-in sparse engine works in 3 dimensions, not {dimension}")
        self.kernel_size, self.stride = kernel_size, stride
        self.pointwise = kernel_size == 1 and stride == 1
        volume = kernel_size**DIMENSION
        shape = (in_channels, out_channels) if self.pointwise else (volume, in_channels, out_channels)
        self.kernel = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(1, out_channels)) if bias else None
        bound = 1 / math.sqrt(in_channels * volume)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: SparseTensor) -> SparseTensor:
        if self.pointwise:
            output = x.replace(x.F @ self.kernel)
        else:
            kernel_map = x.coordinate_manager.kernel_map(x.tensor_stride, self.stride, self.kernel_size)
            features = functional.convolution(x.F, self.kernel, kernel_map)
            output = x.replace(features, x.tensor_stride * self.stride)
        return output if self.bias is None else output.replace(output.F + self.bias)


class MinkowskiAvgPooling(nn.Module):
    """Mean over the voxels present under an even cubic kernel as large as its stride: `[V_in, C]` -> `[V_out, C]`.

    Raises:
        ValueError: kernels that overlap or leave gaps (no network here has them), a dimension other than 3.
    """

    def __init__(self, kernel_size: int, stride: int = 1, dimension: int = DIMENSION):
        super().__init__()
        if dimension != DIMENSION:
            raise ValueError(f"the built-in sparse engine works in 3 dimensions, not {dimension}")
        if kernel_size != stride or kernel_size % 2:
            raise ValueError(f"average pooling needs an even kernel size = stride, not {kernel_size} and {stride}")
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: SparseTensor) -> SparseTensor:
        kernel_map = x.coordinate_manager.kernel_map(x.tensor_stride, self.stride, self.kernel_size)
        return x.replace(functional.average_pool(x.F, kernel_map), x.tensor_stride * self.stride)


class MinkowskiGlobalMaxPooling(nn.Module):
    """Maximum over each cloud: `[V, C]` -> `[B, C]`, rows in batch order."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        voxels = x.coordinate_map
        pooled = functional.global_max_pool(x.F, voxels.batch, voxels.batch_size)
        return x.replace(pooled, x.coordinate_manager.origin().tensor_stride)


class MinkowskiBatchNorm(nn.Module):
    """Batch normalisation over all voxels of each group of clouds, kept under `bn` as MinkowskiEngine does.

    In training with several groups the running statistics follow when `SparseTensor.end_pass` is called.

    Raises:
        ValueError: from `forward` in training, for a group of a single voxel.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.bn = nn.BatchNorm1d(num_features, eps=eps, momentum=momentum)

    def forward(self, x: SparseTensor) -> SparseTensor:
        voxels = x.coordinate_map
        if not self.training or voxels.num_groups == 1:
            return x.replace(self.bn(x.F))
        synchronised = isinstance(self.bn, SyncBatchNorm | nn.SyncBatchNorm)
        kernels = x.coordinate_manager.kernels
        if kernels and not synchronised and x.F.dtype == torch.float32:
            check_groups(voxels.groups)
            return x.replace(kernels.batch_norm(x.F, voxels.groups, self.bn))
        all_reduce = torch.distributed.all_reduce if synchronised else None
        features, statistics = normalise_by_groups(x.F, voxels.groups, self.bn, all_reduce)
        x.coordinate_manager.statistics.append(statistics)
        return x.replace(features)


class MinkowskiReLU(nn.Module):
    """`max(0, x)`, element by element."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x: SparseTensor) -> SparseTensor:
        return x.replace(torch.relu_(x.F) if self.inplace else torch.relu(x.F))


class MinkowskiLinear(nn.Module):
    """A linear layer on the features, kept under `linear` as MinkowskiEngine does."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return x.replace(self.linear(x.F))
