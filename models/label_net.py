"""The paper's reference case: the instrument's name in place of its player's cloud."""

from __future__ import annotations

from torch import Tensor, nn


class LabelNet(nn.Module):
    """A learned vector for each instrument: numbers of instruments `[B]` -> `[B, C]`.

    Args:
        fc_dim: C.
        num_labels: instruments there are.
    """

    def __init__(self, fc_dim: int, num_labels: int):
        super().__init__()
        self.features = nn.Sequential()  # what a vision net has in front of its last layer
        self.fc = nn.Embedding(num_labels, fc_dim)

    def forward(self, labels: Tensor, group_size: int | None = None) -> Tensor:
        """Labels are not normalised: their groups make no difference."""
        return self.fc(labels)
