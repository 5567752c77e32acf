"""The page of one separated recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dataset.audio import open_recording
from reports.media import ticks_of_octaves, write_cloud_script, write_mp3
from reports.overview import LOWEST_HZ, draw_spectrum, draw_wave, highest_hz, measure
from reports.page import writing_page
from reports.scene_page import SCENE_HTML, Clouds, SceneView, three_js, write_scene_page


def write_recording_page(
    folder: Path,
    mixture: Path,
    stems: dict[str, Path],
    clouds: Clouds,
    *,
    scene: SceneView | None,
    about: list[str],
) -> Path:
    """Writes a page with a recording, its stems, and the musicians' clouds.

    Args:
        folder: of the page.
        stems: name -> WAV file at the recording's rate and length; stems without a cloud come last.
        clouds: name -> points `[P, 3]` in metres and colours `[P, 3]` in 0..1.
        scene: of clouds that share one space and are shown together; with three.js there is `scene.html` as well.
        about: lines below the title.

    Returns:
        `<folder>/index.html`.

    Raises:
        InputError: a file cannot be read; the page cannot be written (WriteError).
    """
    recording_label = "mixture" if "mixture" not in stems else "recording of all"  # a stem may have that name
    files = [(recording_label, mixture), *stems.items()]
    with writing_page(folder) as (new, page):
        scripts = {}
        for n, (name, cloud) in enumerate(clouds.items(), 1):
            scripts[name] = f"cloud{n}.js"
            write_cloud_script(new / scripts[name], scripts[name], *cloud)
        groups, wave_loudest, spectrum_loudest = [], 0.0, 0.0
        for n, (name, path) in enumerate(files):
            with open_recording(str(path)) as recording:
                extremes, magnitudes = measure(recording)
                rate_hz, seconds = recording.rate_hz, recording.num_samples / recording.rate_hz
            if not n:  # the mixture: the scale of all
                wave_loudest, spectrum_loudest = float(np.abs(extremes).max()), float(magnitudes.max())
            draw_wave(extremes, wave_loudest, new / f"wave{n}.png")
            draw_spectrum(magnitudes, spectrum_loudest, new / f"spectrum{n}.jpg")
            write_mp3(path, new / f"sound{n}.mp3")
            track = {"label": name, "file": f"sound{n}.mp3", "image": f"spectrum{n}.jpg", "waveform": f"wave{n}.png"}
            views = [] if scene or name not in scripts else [{"files": [scripts[name]], "names": [name]}]
            groups.append({"label": "", "tracks": [track], "masks": [], "clouds": views})
        if scene:
            view = {"files": list(scripts.values()), "names": list(scripts)}
            groups.append({"label": "scene", "tracks": [], "masks": [], "clouds": [view]})
            if three_js():
                write_scene_page(new, mixture.name, mixture, stems, clouds, scene)
                page["links"] = [{"href": SCENE_HTML, "text": "Walk among the musicians and hear them in 3D"}]
        ticks = ticks_of_octaves(LOWEST_HZ, highest_hz(rate_hz))
        media = {"seconds": seconds, "hz_ticks": ticks, "groups": groups, "wide": scene is not None}
        row = {"index": 0, "name": mixture.name, "instruments": list(stems), "values": {}, "media": media}
        page |= {
            "title": mixture.name,
            "about": about,
            "scores": None,
            "figures": [],
            "columns": [],
            "rows": [row],
        }
    return folder / "index.html"
