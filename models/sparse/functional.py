"""What sparse layers do to features `[V, C]`, given the rows that meet (`KernelMap`) or belong together."""

from __future__ import annotations

import torch
from torch import Tensor

from models.sparse.kernel_map import KernelMap


class SparseConvolution(torch.autograd.Function):
    """`out[u] = sum_d W_d^T x[u + d]` over the offsets d where a voxel is (Choy et al. 2019, eq. 3).

    Gather, matrix product and scatter offset by offset; rows are gathered again in the backward pass instead of
    being kept, so that memory stays that of the features.
    """

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        """features `[V_in, Cin]`, kernel `[K, Cin, Cout]` -> `[V_out, Cout]`."""
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        output = features.new_zeros(kernel_map.num_outputs, kernel.shape[2])
        for weight, in_rows, out_rows in zip(kernel, *_by_offset(kernel_map), strict=True):
            if len(in_rows):
                output.index_add_(0, out_rows, features.index_select(0, in_rows) @ weight)
        return output

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors
        need_features, need_kernel, _ = ctx.needs_input_grad
        grad_features = torch.zeros_like(features) if need_features else None
        grad_kernel = torch.zeros_like(kernel) if need_kernel else None
        for offset, (in_rows, out_rows) in enumerate(zip(*_by_offset(ctx.kernel_map), strict=True)):
            if not len(in_rows):
                continue
            grad_rows = grad_output.index_select(0, out_rows)  # [M_d, Cout]
            if need_features:
                grad_features.index_add_(0, in_rows, grad_rows @ kernel[offset].T)
            if need_kernel:
                torch.mm(features.index_select(0, in_rows).T, grad_rows, out=grad_kernel[offset])
        return grad_features, grad_kernel, None


def _by_offset(kernel_map: KernelMap) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return kernel_map.in_rows.split(kernel_map.counts), kernel_map.out_rows.split(kernel_map.counts)


def convolution(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Generalised sparse convolution: features `[V_in, Cin]`, kernel `[K, Cin, Cout]` -> `[V_out, Cout]`."""
    return SparseConvolution.apply(features, kernel, kernel_map)


def average_pool(features: Tensor, kernel_map: KernelMap) -> Tensor:
    """Mean of the voxels present under the kernel: `[V_in, C]` -> `[V_out, C]`."""
    total = features.new_zeros(kernel_map.num_outputs, features.shape[1])
    total = total.index_add(0, kernel_map.out_rows, features.index_select(0, kernel_map.in_rows))
    present = torch.bincount(kernel_map.out_rows, minlength=kernel_map.num_outputs)
    return total / present[:, None].to(total.dtype)


def global_max_pool(features: Tensor, batch: Tensor, batch_size: int) -> Tensor:
    """Maximum over the voxels of each cloud: `[V, C]`, cloud of each row `[V]` -> `[B, C]`, in batch order.

    Where several voxels hold the maximum the gradient goes to the first, as in MinkowskiEngine.
    """
    rows = batch[:, None].expand_as(features)
    with torch.no_grad():
        low = features.new_full((batch_size, features.shape[1]), -torch.inf)
        maximum = low.scatter_reduce(0, rows, features, "amax")
        candidate = torch.arange(len(features), device=features.device)[:, None].expand_as(features)
        candidate = torch.where(features == maximum[batch], candidate, len(features) - 1)
        first = candidate.new_full(maximum.shape, len(features) - 1).scatter_reduce(0, rows, candidate, "amin")
    return features.gather(0, first)
