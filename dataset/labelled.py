"""Clouds and meshes in folders of classes, as ModelNet40 is laid out -> voxels with the number of their class."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.cache import Cache
from dataset.collate import collate_clouds
from dataset.meshes import SURFACE_POINTS
from dataset.music import Cloud
from dataset.point_transforms import PointAugmentation
from dataset.points import load_voxels
from utils.errors import InputError
from utils.files import fault_of_folder
from utils.seeding import generator

ENDINGS = (".off", ".ply")


class LabelledClouds(Dataset):
    """Clouds by key (epoch, index), each with the number of its class; augmented when training.

    Everything random depends on (seed, epoch, index) alone; epoch 0 is that of tests.

    Args:
        root: folder with `<class>/train/*` and `<class>/test/*`: OFF meshes, of which points are taken, or PLY clouds.
        part: `train` or `test`.
        num_points: P, taken of a mesh; at most `SURFACE_POINTS`.
        cache: folder that keeps what was read; none: every read goes to the files.
        The rest are the options of the same names in `scripts/pretrain_vision.py`.

    Raises:
        InputError: fewer than two classes, or a class without files for the part.
    """

    def __init__(
        self,
        root: Path,
        part: str,
        *,
        voxel_size: float,
        rgbs_feature: bool,
        augment: float,
        seed: int,
        num_points: int = SURFACE_POINTS,
        cache: str = "",
    ):
        self.voxel_size, self.rgbs_feature, self.seed, self.num_points = voxel_size, rgbs_feature, seed, num_points
        self.augment = augment if part == "train" else 0.0
        self.cache = Cache(cache)
        if fault := fault_of_folder(root):
            raise InputError(f"{root}: {fault}; expected <class>/train/*.off and <class>/test/*.off in it")
        self.classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        self.items: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            paths = [path for path in (root / name / part).glob("[!.]*") if path.suffix.lower() in ENDINGS]
            if not paths:
                raise InputError(f"{root / name / part}: holds no OFF or PLY files")
            self.items += [(path, label) for path in sorted(paths)]
        if len(self.classes) < 2:
            raise InputError(f"{root}: expected at least two folders of classes, found {len(self.classes)}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Cloud, int] | InputError:
        epoch, index = key
        path, label = self.items[index]
        rng = generator(self.seed, epoch, index)
        augmentation = PointAugmentation.draw(rng, self.augment) if self.augment else None
        is_mesh = path.suffix.lower() == ".off"
        read = partial(self._read_mesh, rng) if is_mesh else self.cache.read_points
        try:
            return load_voxels(str(path), self.voxel_size, self.rgbs_feature, augmentation, rng, read), label
        except InputError as error:
            return error

    def _read_mesh(self, rng: np.random.Generator, path: str) -> tuple[np.ndarray, None]:
        """Points `[P, 3]` of a mesh, drawn from those kept of it, and that there are no colours."""
        surface = self.cache.read_surface(path)
        return surface[rng.choice(len(surface), self.num_points, replace=False)], None

    def fingerprint(self) -> int:
        """A fingerprint of class and file names, independent of where they lie."""
        names = [f"{self.classes[label]}/{path.name}" for path, label in self.items]
        return zlib.crc32("\n".join(names).encode(errors="surrogateescape"))


def collate_labelled(samples: list[tuple[Cloud, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Labelled clouds -> coordinates `[V, 4]`, features `[V, 3]`, labels `[B]`."""
    clouds, labels = zip(*samples, strict=True)
    return *collate_clouds(list(clouds)), torch.tensor(labels)
