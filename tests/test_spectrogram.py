"""Spectrograms equal librosa's; waveform <-> spectrogram and warp <-> unwarp are inverse pairs."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from utils.spectrogram import istft, stft, unwarp, warp


def wave(length, *shape, seed=0):
    return torch.randn(*shape, length, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("length", "n_fft", "hop"), [(65535, 1022, 256), (16383, 1022, 256), (4000, 510, 100)])
def test_stft_equals_librosa(length, n_fft, hop, device):
    x = wave(length)
    expected = librosa.stft(x.numpy(), n_fft=n_fft, hop_length=hop, pad_mode="reflect")
    found = stft(x.to(device), n_fft, hop).cpu().numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_published_size():
    assert stft(wave(65535, 2), 1022, 256).shape == (2, 512, 256)


def test_istft_inverts_stft(device):
    x = wave(16383, 3, 2).to(device)
    y = istft(stft(x, 1022, 256), 1022, 256)
    assert y.shape == (3, 2, 256 * 63)
    torch.testing.assert_close(y, x[..., : y.shape[-1]], atol=1e-5, rtol=0)


def reference_warp(magnitude, warping):
    """The grid of Sound-of-Pixels point by point: rows looked up by bilinear interpolation."""
    bins, frames = magnitude.shape
    rows = 256 if warping else 512
    out = np.zeros((rows, frames))
    for i, v in enumerate(np.linspace(-1, 1, rows)):
        y = (21 ** ((v + 1) / 2) - 11) / 10 if warping else np.log(10 * v + 11) / np.log(21) * 2 - 1
        for j, x in enumerate(np.linspace(-1, 1, frames)):
            row, column = ((y + 1) * bins - 1) / 2, ((x + 1) * frames - 1) / 2
            top, left = int(np.floor(row)), int(np.floor(column))
            for r, c in ((top, left), (top + 1, left), (top, left + 1), (top + 1, left + 1)):
                if 0 <= r < bins and 0 <= c < frames:
                    out[i, j] += (1 - abs(row - r)) * (1 - abs(column - c)) * magnitude[r, c]
    return out


@pytest.mark.parametrize("warping", [True, False])
def test_warp_and_unwarp_follow_their_formula(warping):
    bins = 512 if warping else 256
    x = torch.rand(1, 1, bins, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = warp(x) if warping else unwarp(x, 512)
    np.testing.assert_allclose(found[0, 0], reference_warp(x[0, 0].numpy(), warping), atol=1e-9)


def test_unwarp_inverts_warp_where_the_warped_axis_resolves_it():
    """A smooth spectrum survives the way there and back; the border bins and frames mix with the zeros outside."""
    shape = torch.linspace(0, 3, 512)[:, None] + torch.linspace(0, 1, 64)
    x = (1 + 0.5 * torch.sin(shape))[None, None]
    back = unwarp(warp(x), 512)
    torch.testing.assert_close(back[..., 4:-12, 2:-2], x[..., 4:-12, 2:-2], atol=0.03, rtol=0)


def test_warp_keeps_shape():
    assert warp(torch.rand(2, 3, 512, 8)).shape == (2, 3, 256, 8)
    assert unwarp(torch.rand(2, 3, 256, 8), 300).shape == (2, 3, 300, 8)
