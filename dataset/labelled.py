"""Clouds and meshes in folders of classes, as ModelNet40 is laid out -> voxels with the number of their class."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.cache import Cache
from dataset.collate import collate_clouds
from dataset.meshes import SURFACE_POINTS
from dataset.point_transforms import PointAugmentation
from dataset.settings import VoxelSettings
from dataset.voxels import Voxels, make_voxels
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
        voxels: VoxelSettings,
        augment: float,
        seed: int,
        num_points: int = SURFACE_POINTS,
        cache: str = "",
    ):
        self.voxels, self.seed, self.num_points = voxels, seed, num_points
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

    def __getitem__(self, key: tuple[int, int]) -> tuple[Voxels, int] | InputError:
        epoch, index = key
        path, label = self.items[index]
        rng = generator(self.seed, epoch, index)
        augmentation = PointAugmentation.draw(rng, self.augment) if self.augment else None
        try:
            if path.suffix.lower() == ".off":
                xyz, rgb = self._read_mesh(str(path), rng), None
            else:
                xyz, rgb = self.cache.read_points(str(path))
            return make_voxels(str(path), xyz, rgb, self.voxels, augmentation, rng), label
        except InputError as error:
            return error

    def _read_mesh(self, path: str, rng: np.random.Generator) -> np.ndarray:
        """Points `[P, 3]` of a mesh, drawn from those kept of it."""
        surface = self.cache.read_surface(path)
        return surface[rng.choice(len(surface), self.num_points, replace=False)]

    def fingerprint(self) -> int:
        """A fingerprint of class and file names, independent of where they lie."""
        names = [f"{self.classes[label]}/{path.name}" for path, label in self.items]
        return zlib.crc32("\n".join(names).encode(errors="surrogateescape"))


def collate_labelled(samples: list[tuple[Voxels, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Labelled clouds -> coordinates `[V, 4]`, features `[V, 3]`, labels `[B]`."""
    clouds, labels = zip(*samples, strict=True)
    return *collate_clouds(list(clouds)), torch.tensor(labels)
