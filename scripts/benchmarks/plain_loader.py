"""What the loader is measured against: whole files read for every sample, each augmentation by itself.

It does the work of the published implementation's loader: whole recordings decoded for a window, magnitude and phase by
librosa, points by open3d (plyfile where that is not installed), colours to HSV and back for every augmentation.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import soundfile
import torch
from plyfile import PlyData

from dataset.collate import collate_clouds
from dataset.index import IndexRow
from dataset.point_transforms import rotation_matrix
from utils.errors import InputError
from utils.seeding import generator

STFT_FRAME, STFT_HOP = 1022, 256
Colours = Callable[[np.ndarray], np.ndarray]  # [P, 3] -> [P, 3]
Reader = Callable[[str], tuple[np.ndarray, np.ndarray]]


class PlainLoader:
    """Training samples of two sources by key (epoch, index).

    Raises:
        InputError: librosa is not installed.
    """

    def __init__(self, rows: list[IndexRow], aud_len: int, rate_hz: int, voxel_size_m: float, colours: bool):
        self.librosa = importable("librosa")
        if self.librosa is None:
            raise InputError("the plain loader needs librosa: pip install -r requirements-dev.txt")
        self.rows, self.aud_len, self.rate_hz = rows, aud_len, rate_hz
        self.voxel_size_m, self.colours = voxel_size_m, colours
        self.read_ply = next(iter(ply_readers().values()))
        self.to_hsv, self.to_rgb = hsv_converters()[1:]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> tuple:
        """Magnitude and phase of the mixture, magnitudes of the sources, waveforms, clouds."""
        rng = generator(0, *key)
        first = self.rows[key[1]]
        others = [row for row in self.rows if row.instrument != first.instrument]
        rows = [first, others[rng.integers(len(others))]]
        waves = [self.window(row.audio_path, rng) / len(rows) for row in rows]
        spectra = [self.spectrum(wave) for wave in (sum(waves), *waves)]
        clouds = [self.cloud(row.frame_path(int(rng.integers(row.num_frames))), rng) for row in rows]
        return spectra[0], [magnitude for magnitude, _ in spectra[1:]], waves, clouds

    def window(self, path: str, rng: np.random.Generator) -> np.ndarray:
        """`[L]` samples around a random centre; the whole recording is decoded for them."""
        whole, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == self.rate_hz and whole.ndim == 1
        half = self.aud_len // 2
        centre = rng.integers(half + 1, len(whole) - half)
        wave = np.zeros(self.aud_len, dtype=np.float32)
        wave[: 2 * half] = whole[centre - half : centre + half]
        return np.clip(wave * rng.uniform(0.5, 1.5), -1.0, 1.0)

    def spectrum(self, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Magnitude and phase `[F, T]` of a waveform `[L]`."""
        spectrum = self.librosa.stft(wave, n_fft=STFT_FRAME, hop_length=STFT_HOP, pad_mode="reflect")
        return np.abs(spectrum), np.angle(spectrum)

    def cloud(self, path: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Augmented voxels: coordinates `[V, 3]`, features `[V, 3]`."""
        xyz, rgb = self.read_ply(path)
        for axis, reach_rad in ((np.array([0.0, 1.0, 0.0]), np.pi), (rng.uniform(-0.5, 0.5, 3), np.pi / 6)):
            xyz = xyz @ rotation_matrix(axis, rng.uniform(-reach_rad, reach_rad)).T
        xyz = xyz + 0.4 * rng.standard_normal(3)
        xyz = xyz * rng.uniform(0.5, 2.0)
        xyz = xyz @ (np.eye(3) + 0.1 * rng.standard_normal((3, 3)))
        if self.colours:
            rgb = np.clip(rgb + np.sqrt(0.001) * rng.standard_normal(rgb.shape), 0.0, 1.0)
            for channel, reach in ((2, 0.2), (1, 0.15)):
                hsv = self.to_hsv(rgb)
                hsv[:, channel] = np.clip(hsv[:, channel] + rng.uniform(-reach, reach), 0.0, 1.0)
                rgb = self.to_rgb(hsv)
        cells = np.floor(xyz / self.voxel_size_m).astype(np.int64)
        low, extent = cells.min(axis=0), np.ptp(cells, axis=0) + 1
        first = np.unique(np.ravel_multi_index((cells - low).T, extent), return_index=True)[1]
        return cells[first].astype(np.int32), (rgb if self.colours else xyz)[first].astype(np.float32)


def plain_batch(samples: list[tuple]) -> tuple[torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Magnitudes of B mixtures `[B, 1, F, T]` and their N sources `[N, B, 1, F, T]`, and each source's clouds."""
    mixtures = torch.from_numpy(np.stack([mixture[0] for mixture, *_ in samples]))[:, None]
    sources = torch.from_numpy(np.stack([magnitudes for _, magnitudes, *_ in samples], axis=1))[:, :, None]
    clouds = [collate_clouds(list(of_source)) for of_source in zip(*(sample[3] for sample in samples), strict=True)]
    return mixtures, sources, clouds


def ply_readers() -> dict[str, Reader]:
    """open3d's reader, where it is installed, and plyfile's, by name: path -> points, colours `[P, 3]`."""
    open3d = importable("open3d")

    def by_open3d(path: str) -> tuple[np.ndarray, np.ndarray]:
        cloud = open3d.io.read_point_cloud(path)
        return np.asarray(cloud.points), np.asarray(cloud.colors)

    def by_plyfile(path: str) -> tuple[np.ndarray, np.ndarray]:
        vertices = PlyData.read(path)["vertex"]
        xyz = np.stack([vertices[axis] for axis in "xyz"], axis=1)
        return xyz, np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=1) / 255

    return ({"open3d": by_open3d} if open3d else {}) | {"plyfile": by_plyfile}


def hsv_converters() -> tuple[str, Colours, Colours]:
    """RGB -> HSV and back, by scikit-image where it is installed, else by matplotlib, with its name."""
    color = importable("skimage.color")
    if color is not None:
        return "scikit-image", color.rgb2hsv, color.hsv2rgb
    colors = importlib.import_module("matplotlib.colors")
    return "matplotlib", colors.rgb_to_hsv, colors.hsv_to_rgb


def importable(name: str):
    """The module, or None where it is not installed or lacks a system library."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):
        return None
