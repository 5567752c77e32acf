"""Running means in which every sample has the same weight, whatever the size of its batch."""

from __future__ import annotations


class Mean:
    """The mean of values added with their counts; NaN while nothing has been added."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.total, self.count = total, count

    def add(self, value: float, count: int = 1) -> None:
        """Adds the mean `value` of `count` samples."""
        self.total += value * count
        self.count += count

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else float("nan")
