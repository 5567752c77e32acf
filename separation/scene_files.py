"""A scene on disk: where each stem's musician stands, for a VR/AR engine and for the eye."""

from __future__ import annotations

from pathlib import Path

from dataset.points import ply_bytes
from separation.scene import Scene
from separation.scene_picture import draw_scene
from utils.files import replacing, write_json


def scene_files(folder: Path, names: list[str]) -> list[Path]:
    """What `write_scene` writes into `folder`."""
    return [folder / "scene.json", folder / "scene.png", *(folder / f"{name}.ply" for name in names)]


def write_scene(scene: Scene, stems: dict[str, Path], folder: Path, **about: object) -> None:
    """Writes `scene.json`, `scene.png` and a PLY file of each musician.

    Args:
        stems: name -> file of the stem, of the musicians from left to right.
        about: what else `scene.json` is to hold of the capture.

    Raises:
        WriteError: the folder cannot be written.
    """
    sources = []
    for musician, (name, stem) in zip(scene.musicians, stems.items(), strict=True):
        cloud = folder / f"{name}.ply"
        with replacing(cloud) as temporary:
            temporary.write_bytes(ply_bytes(musician.xyz, musician.rgb))
        sources.append(
            {
                "name": name,
                "stem": stem.name,
                "cloud": cloud.name,
                "centroid_m": musician.centroid_m.round(4).tolist(),
                "size_m": musician.size_m.round(4).tolist(),
                "points": musician.num_points,
            }
        )
    with replacing(folder / "scene.png") as temporary:
        draw_scene(scene, list(stems)).savefig(temporary, dpi=100)
    write_json(
        folder / "scene.json",
        {
            **about,
            "axes": "metres; x to the right, y up, z towards the viewer",
            "floor_height_m": round(scene.floor_height_m, 4) if scene.has_floor else None,
            "sources": sources,
        },
    )
