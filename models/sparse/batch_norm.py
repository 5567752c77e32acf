"""Batch normalisation by groups of clouds, in one pass over all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.sparse.groups import Groups, Membership

AllReduce = Callable[[Tensor], object]  # adds up a tensor over all processes, in place


def normalise_by_groups(x: Tensor, groups: Groups, norm: nn.Module, all_reduce: AllReduce | None = None) -> Tensor:
    """Training-mode batch norm (Ioffe and Szegedy, 2015) that takes mean and variance over each group of clouds.

    The running statistics of `norm` end as if it had been applied to one group after the other.

    Args:
        x: features `[V, C]`.
        groups: of the V voxels.
        norm: the batch norm, its parameters and buffers `[C]`.
        all_reduce: makes a group's statistics those of its voxels in all processes.

    Returns:
        `[V, C]`.

    Raises:
        ValueError: a group of a single voxel, whose variance is not defined.
    """
    if all_reduce is None and min(groups.voxels) < 2:
        raise ValueError(
            "Expected more than 1 value per channel when training, got a single voxel in group "
            f"{groups.voxels.index(min(groups.voxels))} of {len(groups)}, {groups.group_size} cloud(s) each"
        )
    membership, merge = groups.membership(x.dtype), None
    if all_reduce is None:
        in_turn = groups.in_turn(norm.momentum, x.dtype)
    else:
        count = membership.count.clone()
        all_reduce(count)
        in_turn = membership.in_turn(norm.momentum, count)
        merge = partial(_merge, share=membership.count / count, all_reduce=all_reduce)
    with torch.autocast(x.device.type, enabled=False):
        output, mean, variance = _GroupedBatchNorm.apply(x, norm.weight, norm.bias, membership, norm.eps, merge)
        left, of_means, of_variances = in_turn
        norm.running_mean.addmv_(mean.T, of_means, beta=left)
        norm.running_var.addmv_(variance.T, of_variances, beta=left)
        norm.num_batches_tracked += len(groups)
    return output


def _merge(means: Tensor, share: Tensor, all_reduce: AllReduce) -> Tensor:
    """Means over this process's voxels `[..., G, C]`, its share of all `[G]` -> over those of all processes."""
    means = means * share[:, None]
    all_reduce(means)
    return means


class _GroupedBatchNorm(torch.autograd.Function):
    """`weight (x - mean) / sqrt(variance + eps) + bias` `[V, C]`, and mean and variance of each group `[G, C]`."""

    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        membership: Membership,
        eps: float,
        merge: Callable[[Tensor], Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        members, average, _ = membership
        mean = average @ x
        if merge is not None:
            mean = merge(mean)
        normal = torch.addmm(x, members, mean, alpha=-1)  # [V, C]
        variance = average @ normal.square()
        if merge is not None:
            variance = merge(variance)
        scale = torch.rsqrt(variance + eps)
        normal.mul_(members @ scale)
        ctx.save_for_backward(normal, weight, scale)
        ctx.membership, ctx.merge = membership, merge
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, normal, weight), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, *_) -> tuple[Tensor | None, ...]:
        normal, weight, scale = ctx.saved_tensors
        members, average, _ = ctx.membership
        along = grad * normal
        mean, slope = average @ grad, average @ along  # [G, C], of the gradient, and along the normalised features
        grad_weight, grad_bias = along.sum(dim=0), grad.sum(dim=0)
        if ctx.merge is not None:
            mean, slope = ctx.merge(torch.stack([mean, slope]))
        grad_x = torch.addmm(grad, members, mean, alpha=-1, out=along)
        grad_x.addcmul_(normal, members @ slope, value=-1).mul_(members @ (scale * weight))
        return grad_x, grad_weight, grad_bias, None, None, None
