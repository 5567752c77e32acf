"""A scene as a glTF 2.0 file for game engines: a node for each musician, with its points and its sound.

Metres, Y up, as everywhere here. The extension KHR_audio_emitter names the stems, which are files beside it;
musicians who move have an animation.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path as FilePath
from urllib.parse import quote

import numpy as np

from spatial.geometry import Path
from utils.files import replacing

FLOAT, BYTE = 5126, 5121  # OpenGL's numbers of these types
POINTS = 0
AUDIO = "KHR_audio_emitter"
Cloud = tuple[np.ndarray, np.ndarray | None]


def write_glb(path: FilePath, stems: dict[str, FilePath], clouds: Sequence[Cloud], paths: Sequence[Path]) -> None:
    """Writes a binary glTF file.

    Args:
        stems: name -> file of the stem, in the folder of `path`.
        clouds: of each musician the points `[P, 3]` where it was captured, and the colours `[P, 3]` in 0..1, or None.
        paths: where each musician is; the points move along from their centroid.

    Raises:
        WriteError: the file cannot be written.
    """
    binary = _Binary()
    meshes, nodes, channels, samplers = [], [], [], []
    for n, (name, (xyz, rgb), way) in enumerate(zip(stems, clouds, paths, strict=True)):
        around = (xyz - xyz.mean(axis=0, dtype=np.float64)).astype("<f4")
        attributes = {"POSITION": binary.add(around, FLOAT, "VEC3", limits=True)}
        if rgb is not None:
            colours = np.append((rgb * 255).round(), np.full((len(rgb), 1), 255), axis=1).astype("u1")
            attributes["COLOR_0"] = binary.add(colours, BYTE, "VEC4", normalized=True)
        meshes.append({"name": name, "primitives": [{"attributes": attributes, "mode": POINTS}]})
        place = way.at(0).tolist()
        nodes.append({"name": name, "mesh": n, "translation": place, "extensions": {AUDIO: {"emitter": n}}})
        if way.moves:
            times = binary.add(way.seconds.astype("<f4"), FLOAT, "SCALAR", limits=True)
            places = binary.add(way.places_m.astype("<f4"), FLOAT, "VEC3")
            channels.append({"sampler": len(samplers), "target": {"node": n, "path": "translation"}})
            samplers.append({"input": times, "output": places, "interpolation": "LINEAR"})
    content = {
        "asset": {"version": "2.0", "generator": "point-cloud-source-separation"},
        "extensionsUsed": [AUDIO],
        "extensions": {AUDIO: _sounds(stems)},
        "scene": 0,
        "scenes": [{"name": "scene", "nodes": list(range(len(nodes)))}],
        "nodes": nodes,
        "meshes": meshes,
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
        **({"animations": [{"name": "tracks", "channels": channels, "samplers": samplers}]} if samplers else {}),
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary.data)))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(binary.data), b"BIN\0") + binary.data)


def _sounds(stems: dict[str, FilePath]) -> dict:
    """A positional emitter for each stem, 1/r from 1 m."""
    falls = {"distanceModel": "inverse", "refDistance": 1.0, "rolloffFactor": 1.0}
    return {
        "audio": [{"uri": quote(path.name), "mimeType": f"audio/{path.suffix[1:]}"} for path in stems.values()],
        "sources": [{"name": name, "audio": n, "gain": 1.0, "autoPlay": True} for n, name in enumerate(stems)],
        "emitters": [
            {"name": name, "type": "positional", "gain": 1.0, "sources": [n], "positional": falls}
            for n, name in enumerate(stems)
        ],
    }


class _Binary:
    """The numbers of a glTF file, and what says where they are."""

    def __init__(self) -> None:
        self.data, self.views, self.accessors = b"", [], []

    def add(self, array: np.ndarray, kind: int, shape: str, normalized: bool = False, limits: bool = False) -> int:
        """Appends an array; returns the number of its accessor. limits: also store its least and greatest values."""
        body = np.ascontiguousarray(array).tobytes()
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(body)})
        self.data += body + bytes(-len(body) % 4)
        accessor = {"bufferView": len(self.views) - 1, "componentType": kind, "count": len(array), "type": shape}
        if normalized:
            accessor["normalized"] = True
        if limits:
            rows = array.reshape(len(array), -1)
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1
