"""The level a model was trained at, and the gain that brings a recording to it."""

from __future__ import annotations

import math

import numpy as np
import torch

from models import SeparationNet
from models.separation_net import EPSILON
from separation.stream import Source
from utils.spectrogram import stft

WINDOWS = 32  # evenly spread windows of a recording from which its level is taken
ACTIVE_DB = -40.0  # frames below this, against the loudest, are pauses


@torch.inference_mode()
def training_gain(net: SeparationNet, source: Source, window: int, rate_hz: int) -> float:
    """The factor that gives a recording the level of the mixtures a model was trained on; 1 for a silent recording.

    The batch normalisation at the U-Net's input holds the mean log magnitude of those mixtures, and the recording's
    mean is brought to it. Pauses do not count.

    Args:
        window: samples, at `rate_hz`, the model's rate.
    """
    last = max(source.length_at(rate_hz) - window, 0)
    starts = np.unique(np.linspace(0, last, WINDOWS).round().astype(int))
    frames = []
    for start in starts.tolist():
        wave = torch.from_numpy(source.read(start, window, rate_hz, mono=True))  # [1, L]
        magnitude = stft(wave, net.stft_frame, net.stft_hop).abs().unsqueeze(1) + EPSILON
        magnitude = net.to_log_frequency(magnitude)[0, 0]  # [F', T]
        frames.append(torch.stack([magnitude.square().mean(dim=0), magnitude.log().mean(dim=0)]))
    power, log_magnitude = torch.cat(frames, dim=1)  # [T of all windows] each
    is_active = power > power.max() * 10 ** (ACTIVE_DB / 10)
    if power.max() <= EPSILON:
        return 1.0
    return math.exp(net.sound.bn0.running_mean.item() - log_magnitude[is_active].mean().item())
