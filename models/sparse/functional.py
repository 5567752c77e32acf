"""What sparse layers do to features `[V, C]`, given the rows that meet (`KernelMap`) or belong together.

The convolution is `out[u] = sum_d W_d^T x[u + d]` over the offsets d where a voxel is (Choy et al. 2019, eq. 3). Its
three forms below give the same numbers and differ in what they are fast at: a GPU, which waits for launches and not
for arithmetic, always takes the one with the fewest. All gather rows again in the backward pass instead of keeping
them, so that memory stays that of the features. Under autocast the matrix products run in
its precision; they are summed, and pooled, in that of the features. Gradients of gradients are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.sparse.kernel_map import KernelMap, Pairs
from models.sparse.launches import is_launch_bound

SHORT_ROW = 4  # input channels up to which gathering all K offsets of a voxel beats K small products
# One batched product of all K offsets beats K small ones if filling up the lists of pairs makes them no more than
# FULL_LISTS times as long and the gathered rows take up to BATCH_BYTES, or if it is SMALL_PRODUCT multiplications.
FULL_LISTS, BATCH_BYTES, SMALL_PRODUCT = 1.5, 2**23, 2**24
GROUP_BYTES = 2**22  # rows gathered at a time for the products of several offsets
CHUNK_BYTES = 3 * 2**20  # gathered rows at a time: they should stay in cache
TURNED = 8  # such chunks whose rows are turned into int64 at a time
CHUNK_BYTES_OF_GPU = 2**30  # as few products as the memory allows: a GPU waits for launches


def convolution(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Generalised sparse convolution: features `[V_in, Cin]`, kernel `[K, Cin, Cout]` -> `[V_out, Cout]`."""
    dtype, kernels = _product_dtype(features), kernel_map.kernels
    if kernels and features.dtype != torch.float64:
        return kernels.convolve(features, kernel, kernel_map, dtype)
    if features.shape[1] <= SHORT_ROW or is_launch_bound(features.device):
        form = _TableConvolution
    elif _one_product_is_best(kernel_map.pairs.counts, features.element_size(), *kernel.shape[1:]):
        form = _BatchedConvolution
    else:
        form = _PairConvolution
    return form.apply(features, kernel, kernel_map, dtype)


def _one_product_is_best(counts: list[int], element_bytes: int, channels_in: int, channels_out: int) -> bool:
    """Whether the lists of pairs, of so many at each offset, are better filled up to the same length."""
    padded = max(counts) * len(counts)
    is_full = padded <= FULL_LISTS * sum(counts)
    fits = padded * max(channels_in, channels_out) * element_bytes <= BATCH_BYTES
    return len(counts) > 1 and (is_full and fits or padded * channels_in * channels_out <= SMALL_PRODUCT)


def _product_dtype(features: Tensor) -> torch.dtype:
    """The precision of matrix products: that of autocast where it is on."""
    device = features.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype


def _product_into(output: Tensor, a: Tensor, b: Tensor) -> None:
    """`output[:] = a @ b`, without a copy where the precision is the same."""
    if output.dtype == a.dtype:
        torch.mm(a, b, out=output)
    else:
        output.copy_(torch.mm(a, b))


class _PairConvolution(torch.autograd.Function):
    """Gather, a matrix product for each offset, scatter: no work where no voxel is."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap, dtype: torch.dtype) -> Tensor:
        x, weights = features.to(dtype), kernel.to(dtype)
        ctx.save_for_backward(x, weights)
        ctx.kernel_map = kernel_map
        output = features.new_zeros(kernel_map.num_outputs, kernel.shape[2])
        if kernel_map.identity is not None:
            _product_into(output, x, weights[kernel_map.identity])
        weights = weights.unbind()
        for in_rows, out_rows, offsets, counts in _groups(kernel_map.pairs, x):
            rows = x.index_select(0, in_rows)  # [M', Cin]
            products = output.new_empty(len(rows), output.shape[1])
            for d, product, part in zip(offsets, products.split(counts), rows.split(counts), strict=True):
                _product_into(product, part, weights[d])
            output.index_add_(0, out_rows, products)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weights = ctx.saved_tensors
        grad = grad_output.to(x.dtype)
        identity = ctx.kernel_map.identity
        grad_x = grad_output.new_zeros(x.shape) if ctx.needs_input_grad[0] else None
        grad_kernel = grad_output.new_empty(weights.shape) if ctx.needs_input_grad[1] else None
        if grad_x is not None:
            transposed = weights.mT.unbind()
            if identity is not None:
                _product_into(grad_x, grad, transposed[identity])
        if grad_kernel is not None:
            grad_weights = grad_kernel.unbind()
            for d, count in enumerate(ctx.kernel_map.pairs.counts):
                if not count:
                    grad_weights[d].zero_()
        for in_rows, out_rows, offsets, counts in _groups(ctx.kernel_map.pairs, x):
            grad_rows = grad.index_select(0, out_rows)  # [M', Cout]
            grad_parts = grad_rows.split(counts)
            if grad_x is not None:
                products = grad_x.new_empty(len(grad_rows), grad_x.shape[1])
                for d, product, part in zip(offsets, products.split(counts), grad_parts, strict=True):
                    _product_into(product, part, transposed[d])
                grad_x.index_add_(0, in_rows, products)
            if grad_kernel is not None:
                columns = x.index_select(0, in_rows).T.split(counts, dim=1)  # [Cin, M'], offset by offset
                for d, column, part in zip(offsets, columns, grad_parts, strict=True):
                    _product_into(grad_weights[d], column, part)
        if grad_kernel is not None and identity is not None:
            _product_into(grad_weights[identity], x.T, grad)
        return grad_x, grad_kernel, None, None


def _groups(pairs: Pairs, x: Tensor) -> Iterator[tuple[Tensor, Tensor, list[int], list[int]]]:
    """Offsets in turn, as many at a time as their gathered rows fit into GROUP_BYTES, but at least one.

    Yields:
        input and output rows of a group `[M']`, its offsets that have any, and how many each has.
    """
    most = GROUP_BYTES // (x.shape[1] * x.element_size())
    start = size = 0
    offsets, counts = [], []
    for d, count in [*enumerate(pairs.counts), (-1, most + 1)]:  # the last closes the last group
        if size and size + count > most:
            yield pairs.in_rows[start : start + size], pairs.out_rows[start : start + size], offsets, counts
            start, size, offsets, counts = start + size, 0, [], []
        if count:
            offsets.append(d)
            counts.append(count)
            size += count


class _BatchedConvolution(torch.autograd.Function):
    """The same for all offsets at once, lists of pairs filled up to the same length with a row of zeros."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap, dtype: torch.dtype) -> Tensor:
        x, weights = features.to(dtype), kernel.to(dtype)
        ctx.save_for_backward(x, weights)
        ctx.kernel_map = kernel_map
        in_rows, out_rows = kernel_map.padded_pairs  # [K, M]
        output = features.new_zeros(kernel_map.num_outputs + 1, kernel.shape[2])
        if kernel_map.identity is not None:
            _product_into(output[:-1], x, weights[kernel_map.identity])
        products = torch.bmm(_gather_padded(x, in_rows), weights)  # [K, M, Cout]
        return output.index_add_(0, out_rows.flatten(), products.flatten(0, 1).to(output.dtype))[:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weights = ctx.saved_tensors
        grad = grad_output.to(x.dtype)
        identity, (in_rows, out_rows) = ctx.kernel_map.identity, ctx.kernel_map.padded_pairs
        grad_rows = _gather_padded(grad, out_rows)  # [K, M, Cout]
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_output.new_zeros(len(x) + 1, x.shape[1])
            if identity is not None:
                _product_into(grad_x[:-1], grad, weights[identity].T)
            products = torch.bmm(grad_rows, weights.transpose(1, 2))  # [K, M, Cin]
            grad_x = grad_x.index_add_(0, in_rows.flatten(), products.flatten(0, 1).to(grad_x.dtype))[:-1]
        if ctx.needs_input_grad[1]:
            products = torch.bmm(_gather_padded(x, in_rows).transpose(1, 2), grad_rows)
            grad_kernel = products.to(grad_output.dtype)
            if identity is not None:
                _product_into(grad_kernel[identity], x.T, grad)
        return grad_x, grad_kernel, None, None


def _gather_padded(features: Tensor, rows: Tensor) -> Tensor:
    """Rows `[K, M]` of features `[V, C]` followed by a row of zeros: `[K, M, C]`."""
    padded = torch.nn.functional.pad(features, (0, 0, 0, 1))
    return padded.index_select(0, rows.flatten()).unflatten(0, rows.shape)


class _TableConvolution(torch.autograd.Function):
    """All K offsets of a voxel gathered side by side, zeros where no voxel is: one product, nothing scattered."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel: Tensor, kernel_map: KernelMap, dtype: torch.dtype) -> Tensor:
        x, weights = features.to(dtype), kernel.to(dtype)
        ctx.save_for_backward(x, weights)
        ctx.kernel_map = kernel_map
        return _gathered_product(x, kernel_map.rows, weights.flatten(0, 1), features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weights = ctx.saved_tensors
        grad = grad_output.to(x.dtype)
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:
            transposed = weights.mT.flatten(0, 1)  # [K * Cout, Cin]
            grad_x = _gathered_product(grad, ctx.kernel_map.rows_back, transposed, grad_output.dtype)
        if ctx.needs_input_grad[1]:
            for columns, part in _columns(x, ctx.kernel_map.rows, grad):
                product = torch.mm(columns.T, part).to(grad_output.dtype)  # [K * Cin, Cout]
                grad_kernel = product if grad_kernel is None else grad_kernel.add_(product)
            grad_kernel = grad_kernel.view(weights.shape)
        return grad_x, grad_kernel, None, None


def _gathered_product(x: Tensor, rows: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Features `[V, C]` at `rows [V', K]`, K side by side, times weights `[K * C, C']`: `[V', C']` of a type."""
    output = x.new_empty(len(rows), weights.shape[1], dtype=dtype)
    for columns, part in _columns(x, rows, output):
        _product_into(part, columns, weights)
    return output


def _columns(x: Tensor, rows: Tensor, beside: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of the `rows [V', K]` of features `[V, C]`, gathered: `[V_part, K * C]`, with those of `beside [V', C']`.

    Row V of the features stands for "no voxel": it is zero.
    """
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    width = rows.shape[1] * x.shape[1]
    size = max(1, _chunk_bytes(x) // (width * x.element_size()))
    for few, beside_few in zip(rows.split(TURNED * size), beside.split(TURNED * size), strict=True):
        few = few.flatten()
        if few.device.type == "cpu":
            few = few.long()  # which index_select is three times as fast with
        for part, of_beside in zip(few.split(size * rows.shape[1]), beside_few.split(size), strict=True):
            yield padded.index_select(0, part).view(-1, width), of_beside


def _chunk_bytes(x: Tensor) -> int:
    return CHUNK_BYTES_OF_GPU if is_launch_bound(x.device) else CHUNK_BYTES


class _AveragePool(torch.autograd.Function):
    """For each output row the mean of its input rows; each input row belongs to one output."""

    @staticmethod
    def forward(ctx, features: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.kernel_map = kernel_map
        exact = torch.promote_types(features.dtype, torch.float32)
        if not is_launch_bound(features.device):
            total = features.new_zeros(kernel_map.num_outputs, features.shape[1], dtype=exact)
            total.index_add_(0, kernel_map.parents, features.to(exact))
            return total.div_(kernel_map.inputs_per_output[:, None]).to(features.dtype)
        padded = torch.cat([features, features.new_zeros(1, features.shape[1])]).to(exact)
        rows = padded.index_select(0, kernel_map.rows.flatten()).unflatten(0, kernel_map.rows.shape)  # [V_out, K, C]
        return rows.sum(dim=1).div_(kernel_map.inputs_per_output[:, None]).to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, None]:
        share = grad_output / ctx.kernel_map.inputs_per_output[:, None]
        return share.index_select(0, ctx.kernel_map.parents), None


def average_pool(features: Tensor, kernel_map: KernelMap) -> Tensor:
    """Mean of the voxels present under an even kernel as large as its stride: `[V_in, C]` -> `[V_out, C]`."""
    return _AveragePool.apply(features, kernel_map)


def global_max_pool(features: Tensor, batch: Tensor, batch_size: int) -> Tensor:
    """Maximum over the voxels of each cloud: `[V, C]`, cloud of each row `[V]` -> `[B, C]`, in batch order.

    Where several voxels hold the maximum the gradient goes to the first, as in MinkowskiEngine. NaN counts as the
    largest number.
    """
    rows = batch[:, None].expand_as(features)
    with torch.no_grad():
        low = features.new_full((batch_size, features.shape[1]), -torch.inf)
        maximum = low.scatter_reduce(0, rows, features, "amax")
        candidate = torch.arange(len(features), device=features.device)[:, None].expand_as(features)
        is_maximum = (features == maximum[batch]) | features.isnan()
        candidate = torch.where(is_maximum, candidate, len(features) - 1)
        first = candidate.new_full(maximum.shape, len(features) - 1).scatter_reduce(0, rows, candidate, "amin")
    return features.gather(0, first)
