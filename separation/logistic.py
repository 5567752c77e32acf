"""Logistic regression on named measures, its weights in a text file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

PENALTY = 3e-4  # on the squares of the weights of measures of variance 1


@dataclass(frozen=True)
class Logistic:
    """names: of the measures. weights: `[n]`, one for each. alone: the constant that is added."""

    names: tuple[str, ...]
    weights: np.ndarray
    alone: float

    def __call__(self, measures: Mapping[str, float]) -> float:
        """The probability, 0..1."""
        sum_of = float(self.weights @ [measures[name] for name in self.names] + self.alone)
        return float(1 / (1 + np.exp(-np.clip(sum_of, -50, 50))))

    @classmethod
    def fit(cls, measures: list[Mapping[str, float]], labels: np.ndarray, penalty: float = PENALTY) -> Logistic:
        """Fits the weights to labels `[M]` bool; both kinds of example have the same total weight."""
        names = tuple(measures[0])
        x, y = np.array([[one[name] for name in names] for one in measures]), np.asarray(labels, bool)
        mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
        z, sign = np.column_stack([(x - mean) / spread, np.ones(len(x))]), np.where(y, 1.0, -1.0)
        share = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            margin = sign * (z @ weights)
            slope = -share * sign / (1 + np.exp(np.clip(margin, -50, 50)))
            counted = np.append(weights[:-1], 0)
            value = share @ np.logaddexp(0, -margin) + penalty * counted @ counted
            return float(value), slope @ z + 2 * penalty * counted

        found = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 5000}).x
        return cls(names, found[:-1] / spread, float(found[-1] - (found[:-1] * mean / spread).sum()))

    @classmethod
    def read(cls, path: Path) -> Logistic:
        rows = [line.rsplit(maxsplit=1) for line in path.read_text().splitlines() if line and line[0] != "#"]
        (*named, (_, alone)) = [(name, float(weight)) for name, weight in rows]
        return cls(tuple(name for name, _ in named), np.array([weight for _, weight in named]), alone)

    def text(self, comment: str) -> str:
        """The text that `read` reads."""
        rows = [*zip(self.names, self.weights, strict=True), ("alone", self.alone)]
        return f"# {comment}\n" + "".join(f"{name} {weight:.4g}\n" for name, weight in rows)
