"""What sparse layers do to features `[V, C]`, given the rows that meet (`KernelMap`) or belong together.

The convolution is `out[u] = sum_d W_d^T x[u + d]` over the offsets d where a voxel is (Choy et al. 2019, eq. 3). Its
two forms below give the same numbers. Both gather rows again in the backward pass instead of keeping them, so that
memory stays that of the features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from models.sparse.kernel_map import KernelMap

SHORT_ROW = 4  # input channels up to which gathering all K offsets of a voxel beats K small products
CHUNK_BYTES = 2**25  # of gathered rows at a time: they should stay in cache


def convolution(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Generalised sparse convolution: features `[V_in, Cin]`, kernel `[K, Cin, Cout]` -> `[V_out, Cout]`."""
    form = _TableConvolution if features.shape[1] <= SHORT_ROW else _PairConvolution
    return form.apply(features, kernel, kernel_map)


class _PairConvolution(torch.autograd.Function):
    """Gather, matrix product and scatter, offset by offset: no work where no voxel is."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        if kernel_map.identity is None:
            output = features.new_zeros(kernel_map.num_outputs, kernel.shape[2])
        else:
            output = features @ kernel[kernel_map.identity]
        for d, in_rows, out_rows in _met(kernel_map):
            output.index_add_(0, out_rows, features.index_select(0, in_rows) @ kernel[d])
        return output

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors
        need_features, need_kernel, _ = ctx.needs_input_grad
        identity = ctx.kernel_map.identity
        grad_features = grad_kernel = None
        if need_features:
            grad_features = torch.zeros_like(features) if identity is None else grad_output @ kernel[identity].T
        if need_kernel:
            grad_kernel = torch.zeros_like(kernel)
            if identity is not None:
                torch.mm(features.T, grad_output, out=grad_kernel[identity])
        for d, in_rows, out_rows in _met(ctx.kernel_map):
            grad_rows = grad_output.index_select(0, out_rows)  # [M_d, Cout]
            if need_features:
                grad_features.index_add_(0, in_rows, grad_rows @ kernel[d].T)
            if need_kernel:
                torch.mm(features.index_select(0, in_rows).T, grad_rows, out=grad_kernel[d])
        return grad_features, grad_kernel, None


def _met(kernel_map: KernelMap) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The offsets at which voxels meet, with their input and output rows."""
    pairs = kernel_map.pairs
    for d, (in_rows, out_rows) in enumerate(zip(pairs.in_rows, pairs.out_rows, strict=True)):
        if len(in_rows):
            yield d, in_rows, out_rows


class _TableConvolution(torch.autograd.Function):
    """All K offsets of an output voxel gathered side by side, zeros where no voxel is: one matrix product."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        output = features.new_empty(kernel_map.num_outputs, kernel.shape[2])
        for part, columns in _columns(features, kernel_map):
            torch.mm(columns, kernel.flatten(0, 1), out=output[part])
        return output

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors
        need_features, need_kernel, _ = ctx.needs_input_grad
        grad_features = features.new_zeros(len(features) + 1, features.shape[1]) if need_features else None
        grad_kernel = torch.zeros_like(kernel) if need_kernel else None
        for part, columns in _columns(features, ctx.kernel_map):
            if need_features:
                grad_columns = grad_output[part] @ kernel.flatten(0, 1).T  # [V_part, K * Cin]
                rows = ctx.kernel_map.table[part].flatten() + 1
                grad_features.index_add_(0, rows, grad_columns.view(-1, features.shape[1]))
            if need_kernel:
                grad_kernel.flatten(0, 1).addmm_(columns.T, grad_output[part])
        return grad_features[1:] if need_features else None, grad_kernel, None


def _columns(features: Tensor, kernel_map: KernelMap) -> Iterator[tuple[slice, Tensor]]:
    """Parts of the outputs, each with its gathered inputs `[V_part, K * Cin]`."""
    padded = torch.cat([features.new_zeros(1, features.shape[1]), features])  # row 0 stands for "no voxel"
    table = kernel_map.table
    size = max(1, CHUNK_BYTES // (table.shape[1] * features.shape[1] * features.element_size()))
    for start in range(0, len(table), size):
        part = slice(start, start + size)
        rows = table[part] + 1  # [V_part, K]
        yield part, padded.index_select(0, rows.flatten()).view(len(rows), -1)


def average_pool(features: Tensor, kernel_map: KernelMap) -> Tensor:
    """Mean of the voxels present under an even kernel as large as its stride: `[V_in, C]` -> `[V_out, C]`."""
    total = features.new_zeros(kernel_map.num_outputs, features.shape[1])
    total = total.index_add(0, kernel_map.parents, features)
    present = torch.bincount(kernel_map.parents, minlength=kernel_map.num_outputs)
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
