"""Does the model use the point cloud? How far a separation depends on it, and whether clouds can be told apart.

Nothing here needs another pass of the sound net: every source is treated alike, so that exchanging the clouds of a
mixture exchanges its estimates.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from utils.host import to_host
from utils.metrics import Scores, score, si_sdr

MEANS = ("sdr", "sdr_exchanged", "follows", "energy_present_db", "energy_absent_db")  # of a report
SILENCE = 1e-12  # energy


class Conditioning:
    """Collects mixtures and features of an evaluation.

    Args:
        class_means: instrument -> mean feature `[C]` of training clouds, in main memory; None leaves recognition out.
    """

    def __init__(self, class_means: dict[str, Tensor] | None):
        self.class_means = class_means
        self.values: dict[str, list[float]] = defaultdict(list)
        self.named: dict[tuple, tuple[str, str]] = {}  # cloud -> its instrument, and that of the nearest mean
        self.unread: list[tuple] = []  # of mixtures
        self.unseen: list[tuple] = []  # of clouds

    def add_mixtures(
        self, scores: list[Scores | None], sources: Tensor, estimates: Tensor, mixture: Tensor, absent: Tensor
    ) -> None:
        """Adds a batch of B mixtures of N sources.

        Args:
            scores: of the estimates. sources, estimates: `[N, B, L]`. mixture: `[B, L]`.
            absent: what is separated for an instrument that does not play, `[B, L]`.
        """
        exchanged = score(sources, estimates.roll(1, dims=0), mixture)
        own_db = torch.stack([si_sdr(source, estimates) for source in sources])  # [source, estimate, B]
        follows = own_db.argmax(dim=0) == torch.arange(len(sources), device=sources.device)[:, None]  # [N, B]
        energies = _energy_db(estimates, mixture).mean(dim=0), _energy_db(absent, mixture)  # [B], [B]
        self.unread.append((scores, exchanged, follows, *energies))

    def add_features(self, features: Tensor, instruments: list[str], clouds: list[tuple]) -> None:
        """Adds features `[B, C]` of clouds of known instruments; each cloud is counted once."""
        if self.class_means is not None:
            self.unseen.append((features, instruments, clouds))

    def read(self) -> None:
        """Evaluates what was added. Until then everything stays on the device, so that the host does not wait
        for it.
        """
        for scores, exchanged, follows, present_db, absent_db in to_host(self.unread):
            for b, (own, other) in enumerate(zip(scores, exchanged, strict=True)):
                if own is None:
                    continue
                self.values["sdr"].append(float(own["sdr"].mean()))
                self.values["sdr_exchanged"].append(float(other["sdr"].mean()))
                self.values["follows"] += follows[:, b].float().tolist()
                self.values["energy_present_db"].append(present_db[b].item())
                self.values["energy_absent_db"].append(absent_db[b].item())
        names = list(self.class_means or ())
        for features, instruments, clouds in to_host(self.unseen):
            means = torch.stack(list(self.class_means.values()))  # [instruments, C]
            nearest = torch.cdist(features, means).argmin(dim=1)
            for cloud, instrument, number in zip(clouds, instruments, nearest.tolist(), strict=True):
                self.named.setdefault(cloud, (instrument, names[number]))
        self.unread, self.unseen = [], []

    def merge(self, other: Conditioning) -> None:
        """Adds what another process has collected and read."""
        self.read()
        for name, values in other.values.items():
            self.values[name] += values
        self.named = {**other.named, **self.named}

    def summary(self) -> dict:
        """Means in dB, the share of estimates that follow their cloud, and recognition: accuracy and confusion.

        The scores are None where no mixture could be scored, `recognition` where it was left out.
        """
        self.read()
        means = {name: float(np.mean(values)) for name, values in self.values.items() if values}
        content: dict = {name: means.get(name) for name in MEANS} | {"n": len(self.values["sdr"]), "recognition": None}
        if self.named:
            confusion = {name: dict.fromkeys(self.class_means, 0) for name, _ in sorted(self.named.values())}
            for instrument, nearest in self.named.values():
                confusion[instrument][nearest] += 1
            right = sum(instrument == nearest for instrument, nearest in self.named.values())
            total = len(self.named)
            content["recognition"] = {"accuracy": right / total, "n": total, "confusion": confusion}
        return content


def _energy_db(waves: Tensor, mixture: Tensor) -> Tensor:
    """Energies of waveforms `[..., L]` in dB of the mixture's."""
    ratio = waves.square().sum(dim=-1).clamp(min=SILENCE) / mixture.square().sum(dim=-1).clamp(min=SILENCE)
    return 10 * torch.log10(ratio)


def format_conditioning(content: dict) -> str:
    """The summary in a few lines."""
    if content["sdr"] is None:
        return "conditioning: no mixture could be scored"
    lines = [
        f"clouds exchanged: SDR {content['sdr_exchanged']:z.2f} dB instead of {content['sdr']:z.2f}; "
        f"{content['follows']:.1%} of the estimates follow their cloud",
        f"energy of the mixture's: {content['energy_present_db']:z.1f} dB for an instrument that plays, "
        f"{content['energy_absent_db']:z.1f} dB for one that does not",
    ]
    if content["recognition"]:
        found = content["recognition"]
        lines.append(
            f"clouds whose feature is nearest to their own instrument: {found['accuracy']:.1%} of {found['n']}"
        )
    return "\n".join(lines)
