"""Batch normalisation by groups of clouds, in one pass over all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.sparse.groups import Groups, Membership

AllReduce = Callable[[Tensor], object]  # adds up a tensor over all processes, in place


class Statistics(NamedTuple):
    """What a batch norm has seen of G groups, for its running statistics.

    norm: the batch norm. mean, variance: of each group, `[G, C]`. correction: n / (n - 1) of the n values that each is
    of, `[G, 1]`: running variances are unbiased.
    """

    norm: nn.Module
    mean: Tensor
    variance: Tensor
    correction: Tensor


def normalise_by_groups(
    x: Tensor, groups: Groups, norm: nn.Module, all_reduce: AllReduce | None = None
) -> tuple[Tensor, Statistics]:
    """Training-mode batch norm (Ioffe and Szegedy, 2015) that takes mean and variance over each group of clouds.

    It leaves the running statistics of `norm` to `update_running_statistics`.

    Args:
        x: features `[V, C]`.
        groups: of the V voxels.
        norm: the batch norm, its parameters and buffers `[C]`.
        all_reduce: makes a group's statistics those of its voxels in all processes.

    Returns:
        `[V, C]`, and what the running statistics are to follow.

    Raises:
        ValueError: a group of a single voxel, whose variance is not defined.
    """
    if all_reduce is None:
        check_groups(groups)
    membership, merge = groups.membership(x.dtype), None
    correction = membership.correction
    if all_reduce is not None:
        count = membership.count.clone()
        all_reduce(count)
        correction = count / (count - 1)
        merge = partial(_merge, share=membership.count / count, all_reduce=all_reduce)
    with torch.autocast(x.device.type, enabled=False):
        members, average = membership.members, membership.average
        with torch.no_grad():
            mean = average @ x  # [G, C]
            if merge is not None:
                mean = merge(mean)
            normal = torch.addmm(x, members, mean, alpha=-1)  # [V, C]
            variance = average @ normal.square()
            if merge is not None:
                variance = merge(variance)
            scale = torch.rsqrt(variance + norm.eps)
            normal.mul_(members @ scale)
        output = _Normalise.apply(x, norm.weight, norm.bias, normal, scale, membership, merge)
    return output, Statistics(norm, mean, variance, correction)


def check_groups(groups: Groups) -> None:
    """Raises ValueError for a group of a single voxel, whose variance is not defined."""
    if min(groups.voxels) < 2:
        raise ValueError(
            "Expected more than 1 value per channel when training, got a single voxel in group "
            f"{groups.voxels.index(min(groups.voxels))} of {len(groups)}, {groups.group_size} cloud(s) each"
        )


@torch.no_grad()
def update_running_statistics(seen: list[Statistics]) -> None:
    """Running means and variances of some batch norms end as if each had been applied to one group after the other.

    Each group g moves a running value r by `momentum * (s_g - r)`: in the end r is a sum with fixed weights. All
    batch norms are updated at once. All have the same momentum.

    Raises:
        ValueError: batch norms of several momenta.
    """
    if len({one.norm.momentum for one in seen}) > 1:
        raise ValueError("batch norms of one pass need the same momentum")
    norms, (momentum, num_groups) = [one.norm for one in seen], (seen[0].norm.momentum, len(seen[0].mean))
    unbiased = torch._foreach_mul([one.variance for one in seen], [one.correction for one in seen])
    statistics = torch.cat([one.mean for one in seen] + list(unbiased), dim=1)  # [G, all channels twice]
    turns = torch.arange(num_groups - 1, -1, -1, dtype=statistics.dtype, device=statistics.device)
    moved = statistics.T @ (momentum * (1 - momentum) ** turns)  # the last group counts most
    running = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
    torch._foreach_mul_(running, (1 - momentum) ** num_groups)
    torch._foreach_add_(running, moved.split([len(buffer) for buffer in running]))
    torch._foreach_add_([norm.num_batches_tracked for norm in norms], num_groups)


def _merge(means: Tensor, share: Tensor, all_reduce: AllReduce) -> Tensor:
    """Means over this process's voxels `[..., G, C]`, its share of all `[G, 1]` -> over those of all processes."""
    means = means * share
    all_reduce(means)
    return means


class _Normalise(torch.autograd.Function):
    """`weight * normal + bias` `[V, C]`, where `normal` is x, centred and times the scale `[G, C]` of each group."""

    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        normal: Tensor,
        scale: Tensor,
        membership: Membership,
        merge: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        ctx.save_for_backward(normal, weight, scale)
        ctx.membership, ctx.merge = membership, merge
        return torch.addcmul(bias, normal, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        normal, weight, scale = ctx.saved_tensors
        members, average = ctx.membership.members, ctx.membership.average
        along = grad * normal
        mean, slope = average @ grad, average @ along  # [G, C], of the gradient, and along the normalised features
        grad_weight, grad_bias = along.sum(dim=0), grad.sum(dim=0)
        if ctx.merge is not None:
            mean, slope = ctx.merge(torch.stack([mean, slope]))
        grad_x = torch.addmm(grad, members, mean, alpha=-1, out=along)
        grad_x.addcmul_(normal, members @ slope, value=-1).mul_(members @ (scale * weight))
        return grad_x, grad_weight, grad_bias, None, None, None, None
