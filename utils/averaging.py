"""A moving average of a model's weights, which is evaluated and kept instead of the weights themselves."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """An exponential moving average of all parameters and buffers of a model; `module` has it.

    Each update forgets `1 - decay` of what it holds, in the beginning more, so that the first weights do not linger: of
    update n it keeps `min(decay, (1 + n) / (10 + n))`.

    Args:
        model: on its device, with the weights that it starts from.
        decay: below 1; the average reaches back about `1 / (1 - decay)` updates.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model, use_buffers=True)
        self.decay = decay
        self.n_averaged += 1  # the weights it starts from count: the first update does not replace them

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Takes the model's present weights into the average. The count is in main memory: no GPU is waited for."""
        count = int(self.n_averaged)
        kept = min(self.decay, (1 + count) / (10 + count))
        pairs = [*zip(self.module.parameters(), model.parameters(), strict=True)]
        pairs += [*zip(self.module.buffers(), model.buffers(), strict=True)]
        for is_real in (True, False):
            chosen = [pair for pair in pairs if pair[0].is_floating_point() == is_real]
            averages, values = [own for own, _ in chosen], [new.detach() for _, new in chosen]
            if is_real:
                torch._foreach_lerp_(averages, values, 1 - kept)
            elif chosen:  # batches counted by batch norm
                torch._foreach_copy_(averages, values)
        self.n_averaged += 1
