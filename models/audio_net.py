"""U-Net on the log spectrogram: the sound net of Sound-of-Pixels (Zhao et al., ECCV 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.upsampling import Doubling


class Unet(nn.Module):
    """Log spectrogram `[B, 1, F, T]` -> features `[B, C, F, T]`; F and T must be multiples of 2^num_downs.

    Args:
        fc_dim: C, output channels.
        num_downs: levels, each halving F and T.
        ngf: channels of the outermost level; they double to 8 * ngf.
    """

    def __init__(self, fc_dim: int = 64, num_downs: int = 5, ngf: int = 64):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(1)
        widths = [ngf * min(2**level, 8) for level in range(num_downs)]  # of each level, outermost first
        block = None
        for level in reversed(range(1, num_downs)):
            block = UnetBlock(widths[level - 1], widths[level], widths[level - 1], block)
        self.unet_block = UnetBlock(1, widths[0], fc_dim, block, outermost=True)
        self.apply(_init_weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.unet_block(self.bn0(x))

    def recompute(self) -> None:
        """From now on backward recomputes each level and nothing inside it is kept: less memory, more time."""
        for module in self.modules():
            if isinstance(module, UnetBlock):
                module.recomputed = True


class UnetBlock(nn.Module):
    """One level: halve, go through the deeper levels, double, and put the input beside the result.

    `[B, Cin, F, T]` -> `[B, Cin + Cout, F, T]`, or `[B, Cout, F, T]` at the outermost level.

    Args:
        in_channels, inner_channels, out_channels: before, below and after this level.
        submodule: the next deeper level; None at the innermost.
        outermost: no activation before, no norm after, a bias instead, no skip connection.
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        out_channels: int,
        submodule: UnetBlock | None,
        outermost: bool = False,
    ):
        super().__init__()
        self.outermost, self.recomputed = outermost, False
        down = [nn.Conv2d(in_channels, inner_channels, kernel_size=4, stride=2, padding=1, bias=False)]
        if not outermost:
            down.insert(0, nn.LeakyReLU(0.2))
            if submodule is not None:
                down.append(nn.BatchNorm2d(inner_channels))
        below = inner_channels if submodule is None else 2 * inner_channels  # the deeper level's skip
        up = [
            nn.ReLU(),
            Doubling(),
            nn.Conv2d(below, out_channels, kernel_size=3, padding=1, bias=outermost),
        ]
        if not outermost:
            up.append(nn.BatchNorm2d(out_channels))
        self.model = nn.Sequential(*down, *([] if submodule is None else [submodule]), *up)
        self.num_down, self.num_up = len(down), len(up)

    def forward(self, x: Tensor) -> Tensor:
        y = self._recomputed(x) if self.recomputed and self.training else self.model(x)
        return y if self.outermost else torch.cat([x, y], dim=1)

    def _recomputed(self, x: Tensor) -> Tensor:
        for part in (self.model[: self.num_down], self.model[self.num_down : -self.num_up], self.model[-self.num_up :]):
            if any(isinstance(module, UnetBlock) for module in part):
                x = part(x)  # whose parts are recomputed by themselves
            else:
                contexts = partial(_recomputing, part)
                x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return x


def _recomputing(part: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts for forward and recomputation: running means update once."""
    return nullcontext(), _running_means_at_rest(part)


@contextmanager
def _running_means_at_rest(part: nn.Module) -> Iterator[None]:
    norms = [module for module in part if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:  # PyTorch leaves by an exception, as soon as it has what it needs
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.001)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
