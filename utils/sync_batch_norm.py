"""Batch norm over the batches of all processes, on any device: PyTorch's own `SyncBatchNorm` is for GPUs alone."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SumOfAll(torch.autograd.Function):
    """The sum of a tensor over all processes. Its gradient is summed as well, because the sum enters the loss of each
    process.
    """

    @staticmethod
    def forward(ctx: object, own: Tensor) -> Tensor:
        result = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return SumOfAll.forward(ctx, gradient)


class SyncBatchNorm(_BatchNorm):
    """`[n, C, ...]` -> the same shape; in training, mean and variance are taken over the n of all processes together.

    Parameters, buffers and names are those of `nn.BatchNorm1d` and `nn.BatchNorm2d`; n may differ between processes.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  (PyTorch's name)
        if input.dim() < 2:
            raise ValueError(f"expected [n, C, ...], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training or dist.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(self.weight.dtype)
        over = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        own = x.new_full((1,), x.numel() / x.shape[1])  # values of a channel here
        sums = SumOfAll.apply(torch.cat([x.mean(dim=over) * own, own]))  # [C + 1]
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean.view(shape)
        variance = SumOfAll.apply(centred.square().sum(dim=over)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

    @classmethod
    def convert_sync_batchnorm(cls, module: nn.Module) -> nn.Module:
        """Replaces every batch norm of `module` by one of these, with the same parameters and buffers."""
        for name, child in module.named_children():
            setattr(module, name, cls.convert_sync_batchnorm(child))
        if not isinstance(module, _BatchNorm):
            return module
        new = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        new._parameters, new._buffers = module._parameters, module._buffers
        return new.train(module.training)
