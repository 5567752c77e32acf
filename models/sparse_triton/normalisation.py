"""Batch norm by groups of clouds by Triton, three kernels each way.

Sums are taken over parts of the voxels and merged afterwards in a fixed order: no atomics.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.sparse.groups import Groups
from models.sparse_triton.launching import BLOCK, launch, tile_of

PARTS = 128  # parts of the voxels, at most


@triton.jit
def _moments(
    partial,
    x,
    batch,
    voxels,
    channels,
    group_size,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    for g in range(GROUPS):
        count = 0.0
        mean, squares = tl.zeros((BLOCK_C,), tl.float32), tl.zeros((BLOCK_C,), tl.float32)
        for start in range(0, ROWS, BLOCK):
            v = tl.program_id(0) * ROWS + start + tl.arange(0, BLOCK)
            member = (v < voxels) & (tl.load(batch + v, v < voxels, 0) // group_size == g)
            mask = member[:, None] & (c < channels)[None, :]
            values = tl.load(x + v[:, None] * channels + c[None, :], mask, 0.0).to(tl.float32)
            more = tl.sum(member.to(tl.float32), axis=0)
            new = tl.sum(values, axis=0) / tl.maximum(more, 1.0)
            centred = tl.where(mask, values - new[None, :], 0.0)
            away, both = new - mean, tl.maximum(count + more, 1.0)  # merged as Chan, Golub and LeVeque do (1983)
            mean += away * more / both
            squares += tl.sum(centred * centred, axis=0) + away * away * count * more / both
            count += more
        at = partial + (tl.program_id(0) * GROUPS + g) * 3 * channels + c
        tl.store(at, mean * 0.0 + count, c < channels)
        tl.store(at + channels, mean, c < channels)
        tl.store(at + 2 * channels, squares, c < channels)


@triton.jit
def _merge_moments(
    moments,
    running_mean,
    running_var,
    tracked,
    partial,
    chunks,
    channels,
    eps,
    momentum,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    c = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    running, running_squares = tl.load(running_mean + c, inside, 0.0), tl.load(running_var + c, inside, 0.0)
    for g in range(GROUPS):
        count, mean, squares = (
            tl.zeros((BLOCK_C,), tl.float32),
            tl.zeros((BLOCK_C,), tl.float32),
            tl.zeros((BLOCK_C,), tl.float32),
        )
        for chunk in range(chunks):
            at = partial + (chunk * GROUPS + g) * 3 * channels + c
            more = tl.load(at, inside, 0.0)
            away, both = tl.load(at + channels, inside, 0.0) - mean, tl.maximum(count + more, 1.0)
            mean += away * more / both
            squares += tl.load(at + 2 * channels, inside, 0.0) + away * away * count * more / both
            count += more
        variance = squares / tl.maximum(count, 1.0)
        running += momentum * (mean - running)
        running_squares += momentum * (squares / tl.maximum(count - 1.0, 1.0) - running_squares)
        at = moments + g * 3 * channels + c
        tl.store(at, count, inside)
        tl.store(at + channels, mean, inside)
        tl.store(at + 2 * channels, 1 / tl.sqrt(variance + eps), inside)
    tl.store(running_mean + c, running, inside)
    tl.store(running_var + c, running_squares, inside)
    if tl.program_id(0) == 0:
        tl.store(tracked, tl.load(tracked) + GROUPS)


@triton.jit
def _normal(x, batch, moments, v, c, voxels, channels, group_size):
    """Features of a tile normalised, where their group is in the moments, and the mask of what exists."""
    mask = (v < voxels)[:, None] & (c < channels)[None, :]
    at = (tl.load(batch + v, v < voxels, 0) // group_size)[:, None] * 3 * channels + c[None, :]
    values = tl.load(x + v[:, None] * channels + c[None, :], mask, 0.0).to(tl.float32)
    normal = (values - tl.load(moments + at + channels, mask, 0.0)) * tl.load(moments + at + 2 * channels, mask, 0.0)
    return normal, at, mask


@triton.jit
def _normalise(
    output,
    x,
    batch,
    moments,
    weight,
    bias,
    voxels,
    channels,
    group_size,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    normal, _, mask = _normal(x, batch, moments, v, c, voxels, channels, group_size)
    scale, shift = tl.load(weight + c, c < channels, 0.0), tl.load(bias + c, c < channels, 0.0)
    values = normal * scale[None, :] + shift[None, :]
    tl.store(output + v[:, None] * channels + c[None, :], values.to(output.dtype.element_ty), mask)


@triton.jit
def _slopes(
    partial,
    grad,
    x,
    batch,
    moments,
    voxels,
    channels,
    group_size,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    for g in range(GROUPS):
        straight, along = tl.zeros((BLOCK_C,), tl.float32), tl.zeros((BLOCK_C,), tl.float32)
        for start in range(0, ROWS, BLOCK):
            v = tl.program_id(0) * ROWS + start + tl.arange(0, BLOCK)
            normal, _, mask = _normal(x, batch, moments, v, c, voxels, channels, group_size)
            member = tl.load(batch + v, v < voxels, 0) // group_size == g
            gradient = tl.load(grad + v[:, None] * channels + c[None, :], mask & member[:, None], 0.0).to(tl.float32)
            straight += tl.sum(gradient, axis=0)
            along += tl.sum(gradient * normal, axis=0)
        at = partial + (tl.program_id(0) * GROUPS + g) * 2 * channels + c
        tl.store(at, straight, c < channels)
        tl.store(at + channels, along, c < channels)


@triton.jit
def _merge_slopes(
    slopes,
    grad_weight,
    grad_bias,
    partial,
    moments,
    chunks,
    channels,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    c = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    of_weight, of_bias = tl.zeros((BLOCK_C,), tl.float32), tl.zeros((BLOCK_C,), tl.float32)
    for g in range(GROUPS):
        straight, along = tl.zeros((BLOCK_C,), tl.float32), tl.zeros((BLOCK_C,), tl.float32)
        for chunk in range(chunks):
            at = partial + (chunk * GROUPS + g) * 2 * channels + c
            straight += tl.load(at, inside, 0.0)
            along += tl.load(at + channels, inside, 0.0)
        count = tl.maximum(tl.load(moments + g * 3 * channels + c, inside, 1.0), 1.0)
        at = slopes + g * 3 * channels + c  # laid out as the moments are
        tl.store(at + channels, straight / count, inside)
        tl.store(at + 2 * channels, along / count, inside)
        of_weight += along
        of_bias += straight
    tl.store(grad_weight + c, of_weight, inside)
    tl.store(grad_bias + c, of_bias, inside)


@triton.jit
def _normalise_backward(
    grad_x,
    grad,
    x,
    batch,
    moments,
    slopes,
    weight,
    voxels,
    channels,
    group_size,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    normal, at, mask = _normal(x, batch, moments, v, c, voxels, channels, group_size)
    gradient = tl.load(grad + v[:, None] * channels + c[None, :], mask, 0.0).to(tl.float32)
    gradient -= tl.load(slopes + at + channels, mask, 0.0) + normal * tl.load(slopes + at + 2 * channels, mask, 0.0)
    gradient *= tl.load(moments + at + 2 * channels, mask, 0.0) * tl.load(weight + c, c < channels, 0.0)[None, :]
    tl.store(grad_x + v[:, None] * channels + c[None, :], gradient.to(grad_x.dtype.element_ty), mask)


class _BatchNorm(torch.autograd.Function):
    """Moments of parts, moments of groups, and what comes of them; the same for the gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, groups: Groups, norm: nn.Module) -> Tensor:
        x, ctx.groups = x.contiguous(), groups
        parts, tiles, sizes, constants = _layout(x, groups)
        by_group = {"GROUPS": len(groups), **constants}
        partial, moments = (x.new_empty(*before, len(groups), 3, x.shape[1]) for before in ((parts[0],), ()))
        launch(_moments, parts, partial, x, groups.batch, *sizes, ROWS=_rows(x), **by_group)
        buffers = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
        numbers = (parts[0], x.shape[1], norm.eps, norm.momentum)
        launch(_merge_moments, parts[1:], moments, *buffers, partial, *numbers, **by_group)
        output = torch.empty_like(x)
        launch(_normalise, tiles, output, x, groups.batch, moments, weight, bias, *sizes, **constants)
        ctx.save_for_backward(x, weight, moments)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, moments), groups, grad = ctx.saved_tensors, ctx.groups, grad.contiguous()
        parts, tiles, sizes, constants = _layout(x, groups)
        by_group = {"GROUPS": len(groups), **constants}
        partial, slopes = x.new_empty(parts[0], len(groups), 2, x.shape[1]), torch.empty_like(moments)
        grad_weight, grad_bias, grad_x = torch.empty_like(weight), torch.empty_like(weight), torch.empty_like(x)
        known = (x, groups.batch, moments)
        launch(_slopes, parts, partial, grad, *known, *sizes, ROWS=_rows(x), **by_group)
        numbers = (parts[0], x.shape[1])
        launch(_merge_slopes, parts[1:], slopes, grad_weight, grad_bias, partial, moments, *numbers, **by_group)
        launch(_normalise_backward, tiles, grad_x, grad, *known, slopes, weight, *sizes, **constants)
        return grad_x, grad_weight, grad_bias, None, None


def _rows(x: Tensor) -> int:
    """Voxels of a part."""
    return BLOCK * triton.cdiv(triton.cdiv(len(x), PARTS), BLOCK)


def _layout(x: Tensor, groups: Groups) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int], dict]:
    """Grids of parts and of tiles, with tiles of channels; voxels, channels and clouds of a group; sizes of a tile."""
    width = tile_of(x.shape[1])
    across = triton.cdiv(x.shape[1], width)
    parts, tiles = (triton.cdiv(len(x), _rows(x)), across), (triton.cdiv(len(x), BLOCK), across)
    return parts, tiles, (*x.shape, groups.group_size), {"BLOCK": BLOCK, "BLOCK_C": width}


def batch_norm(x: Tensor, groups: Groups, norm: nn.Module) -> Tensor:
    """`models.sparse.batch_norm.normalise_by_groups`, running statistics included: `[V, C]` -> `[V, C]`."""
    return _BatchNorm.apply(x, norm.weight, norm.bias, groups, norm)
