"""The sparse convolution by Triton, as an implicit matrix product: rows are gathered tile by tile, nothing is kept.

A tile of the output loops over the offsets, so that nothing is scattered or added with atomics and results are the
same bits every time. Rows are those of `KernelMap`: where no voxel is they name the row behind the last, read as zero.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.sparse.kernel_map import KernelMap
from models.sparse_triton.launching import BLOCK, launch, tile_of


@triton.jit
def _gather_product(
    output,
    x,
    rows,
    weights,
    outputs,
    inputs,
    channels_in,
    channels_out,
    offset_stride,
    in_stride,
    out_stride,
    OFFSETS: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    o = tl.program_id(1) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    total = tl.zeros((BLOCK_V, BLOCK_OUT), dtype=tl.float32)
    for k in range(OFFSETS):
        row = tl.load(rows + v * OFFSETS + k, v < outputs, inputs)
        for start in range(0, channels_in, BLOCK_IN):
            i = start + tl.arange(0, BLOCK_IN)
            mask = (row < inputs)[:, None] & (i < channels_in)[None, :]
            gathered = tl.load(x + row[:, None] * channels_in + i[None, :], mask, 0.0)
            at = weights + k * offset_stride + i[:, None] * in_stride + o[None, :] * out_stride
            factor = tl.load(at, (i < channels_in)[:, None] & (o < channels_out)[None, :], 0.0)
            total = tl.dot(gathered, factor, total, input_precision=PRECISION)
    mask = (v < outputs)[:, None] & (o < channels_out)[None, :]
    tl.store(output + v[:, None] * channels_out + o[None, :], total.to(output.dtype.element_ty), mask)


@triton.jit
def _weight_gradient(
    gradient,
    x,
    rows,
    grad,
    outputs,
    inputs,
    channels_in,
    channels_out,
    OFFSETS: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    k = tl.program_id(0)
    i = tl.program_id(1) * BLOCK_IN + tl.arange(0, BLOCK_IN)
    o = tl.program_id(2) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    total = tl.zeros((BLOCK_IN, BLOCK_OUT), dtype=tl.float32)
    for start in range(0, outputs, BLOCK_V):
        v = start + tl.arange(0, BLOCK_V)
        row = tl.load(rows + v * OFFSETS + k, v < outputs, inputs)
        mask = (row < inputs)[None, :] & (i < channels_in)[:, None]
        gathered = tl.load(x + row[None, :] * channels_in + i[:, None], mask, 0.0)  # [in, V]
        mask = (v < outputs)[:, None] & (o < channels_out)[None, :]
        total = tl.dot(
            gathered,
            tl.load(grad + v[:, None] * channels_out + o[None, :], mask, 0.0),
            total,
            input_precision=PRECISION,
        )
    mask = (i < channels_in)[:, None] & (o < channels_out)[None, :]
    at = gradient + (k * channels_in + i[:, None]) * channels_out + o[None, :]
    tl.store(at, total.to(gradient.dtype.element_ty), mask)


def gather_product(x: Tensor, rows: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """`sum_k x[rows[:, k]] @ weights[k]`: `[V, C]`, `[V', K]`, `[K, C, C']` -> `[V', C']` of the given type."""
    output = x.new_empty((len(rows), weights.shape[2]), dtype=dtype)
    sizes = (len(rows), len(x), *weights.shape[1:], *weights.stride())
    grid = (triton.cdiv(len(rows), BLOCK), triton.cdiv(weights.shape[2], tile_of(weights.shape[2])))
    launch(_gather_product, grid, output, x.contiguous(), rows, weights, *sizes, **_tiles(x, rows, weights))
    return output


def weight_gradient(x: Tensor, rows: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
    """`x[rows[:, k]]^T @ grad` for each k: `[V, C]`, `[V', K]`, `[V', C']` -> `[K, C, C']` of the given type."""
    gradient = x.new_empty((rows.shape[1], x.shape[1], grad.shape[1]), dtype=dtype)
    sizes = (len(rows), len(x), x.shape[1], grad.shape[1])
    grid = (rows.shape[1], *(triton.cdiv(channels, tile_of(channels)) for channels in gradient.shape[1:]))
    launch(
        _weight_gradient, grid, gradient, x.contiguous(), rows, grad.contiguous(), *sizes, **_tiles(x, rows, gradient)
    )
    return gradient


def _tiles(x: Tensor, rows: Tensor, weights: Tensor) -> dict:
    exact = x.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32
    sizes = {"BLOCK_V": BLOCK, "BLOCK_IN": tile_of(weights.shape[1]), "BLOCK_OUT": tile_of(weights.shape[2])}
    return {"OFFSETS": rows.shape[1], **sizes, "PRECISION": "ieee" if exact else "tf32"}


class _Convolution(torch.autograd.Function):
    """One kernel each for the output and both gradients."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap, dtype: torch.dtype) -> Tensor:
        x, weights = features.to(dtype), kernel.to(dtype)
        ctx.save_for_backward(x, weights)
        ctx.kernel_map = kernel_map
        return gather_product(x, kernel_map.rows, weights, features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weights = ctx.saved_tensors
        grad = grad_output.to(x.dtype).contiguous()
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:
            grad_x = gather_product(grad, ctx.kernel_map.rows_back, weights.mT, grad_output.dtype)
        if ctx.needs_input_grad[1]:
            grad_kernel = weight_gradient(x, ctx.kernel_map.rows, grad, grad_output.dtype)
        return grad_x, grad_kernel, None, None


def convolve(features: Tensor, kernel: Tensor, kernel_map: KernelMap, dtype: torch.dtype) -> Tensor:
    """The generalised sparse convolution, products in `dtype`: `[V_in, Cin]`, `[K, Cin, Cout]` -> `[V_out, Cout]`."""
    return _Convolution.apply(features, kernel, kernel_map, dtype)
