"""The sparse tensor: features on the voxels of a coordinate map, and the geometry shared by a network's layers."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from models.sparse.batch_norm import Statistics, update_running_statistics
from models.sparse.coordinates import CoordinateMap
from models.sparse.kernel_map import KernelMap
from models.sparse.launches import is_launch_bound


class CoordinateManager:
    """Coordinate maps by tensor stride and kernel maps by geometry, each made once for all layers that need it.

    Args:
        finest: the voxels themselves.
        strides: of which it is known that layers need them.
        kernels: see `KernelMap`.
    """

    def __init__(self, finest: CoordinateMap, strides: tuple[int, ...] = (), kernels: ModuleType | None = None):
        self.kernels = kernels
        self._maps = {finest.tensor_stride: finest}
        # One after the other is less work, all at once is one wait for the device.
        if strides and is_launch_bound(finest.batch.device):
            self._maps |= {coarse.tensor_stride: coarse for coarse in finest.coarser(strides)}
        self._kernel_maps: dict[tuple[int, int, int], KernelMap] = {}
        self.statistics: list[Statistics] = []  # what batch norms have seen in this pass

    def map(self, tensor_stride: int) -> CoordinateMap:
        return self._maps[tensor_stride]

    def strided(self, tensor_stride: int, stride: int) -> CoordinateMap:
        """The map `stride` times coarser than the one at `tensor_stride`."""
        coarse = tensor_stride * stride
        if coarse not in self._maps:
            (self._maps[coarse],) = self._maps[tensor_stride].coarser((stride,))
        return self._maps[coarse]

    def origin(self) -> CoordinateMap:
        """One voxel a cloud, in batch order, kept as tensor stride 0: where global pooling puts its result."""
        if 0 not in self._maps:
            finest = next(iter(self._maps.values()))
            clouds = torch.arange(finest.batch_size, device=finest.batch.device)
            zero = torch.zeros_like(finest.origin)
            self._maps[0] = CoordinateMap(zero, clouds, zero, (1, 1, 1), 0, finest.group_size)
        return self._maps[0]

    def kernel_map(self, tensor_stride: int, stride: int, kernel_size: int) -> KernelMap:
        """The pairs of a layer that reads the map at `tensor_stride` with the given stride and kernel size."""
        geometry = (tensor_stride, stride, kernel_size)
        if geometry not in self._kernel_maps:
            target = self.strided(tensor_stride, stride)
            self._kernel_maps[geometry] = KernelMap(self._maps[tensor_stride], target, kernel_size, self.kernels)
        return self._kernel_maps[geometry]


class SparseTensor:
    """Features `F [V, C]` at the voxels `C [V, 4]` (batch, x, y, z) of a batch of clouds.

    Made by a user from `features` and integer `coordinates`; of rows that share a voxel the first is kept, as
    MinkowskiEngine does. Every `group_size` clouds are a group of their own for batch normalisation; by default all
    clouds are one. `strides` are the tensor strides that the layers will ask for, if they are known: a GPU then counts
    the voxels at all of them at once. Layers make theirs from a manager and a tensor stride.
    """

    kernels: ModuleType | None = None  # instead of PyTorch's operations

    def __init__(
        self,
        features: Tensor,
        coordinates: Tensor | None = None,
        *,
        group_size: int | None = None,
        strides: tuple[int, ...] = (),
        coordinate_manager: CoordinateManager | None = None,
        tensor_stride: int = 1,
    ):
        if coordinate_manager is None:
            if coordinates is None or len(coordinates) != len(features):
                rows = None if coordinates is None else len(coordinates)
                raise ValueError(f"features have {len(features)} rows, coordinates {rows}")
            finest, taken = CoordinateMap.from_coordinates(coordinates, group_size)
            if taken is not None:
                features = features[taken]
            coordinate_manager = CoordinateManager(finest, strides, self.kernels)
        self.F = features
        self.coordinate_manager = coordinate_manager
        self.tensor_stride = tensor_stride

    @property
    def coordinate_map(self) -> CoordinateMap:
        return self.coordinate_manager.map(self.tensor_stride)

    @property
    def C(self) -> Tensor:
        return self.coordinate_map.coordinates

    def replace(self, features: Tensor, tensor_stride: int | None = None) -> SparseTensor:
        """The same geometry (or, with `tensor_stride`, the one at that stride) with other features."""
        return type(self)(
            features,
            coordinate_manager=self.coordinate_manager,
            tensor_stride=self.tensor_stride if tensor_stride is None else tensor_stride,
        )

    def end_pass(self) -> None:
        """Updates the running statistics of batch norms with the groups that they have seen in this pass."""
        statistics, self.coordinate_manager.statistics = self.coordinate_manager.statistics, []
        if statistics:
            update_running_statistics(statistics)

    def __add__(self, other: SparseTensor) -> SparseTensor:
        assert self.coordinate_manager is other.coordinate_manager and self.tensor_stride == other.tensor_stride, (
            "sparse tensors of different geometry cannot be added"
        )
        return self.replace(self.F + other.F)

    def __repr__(self) -> str:
        shape, device = list(self.F.shape), self.F.device
        return f"SparseTensor(features={shape}, tensor_stride={self.tensor_stride}, device={device})"
