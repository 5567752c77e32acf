"""The picture of a scene: whose the points are, seen from above and from the front."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from separation.scene import Scene

MOST_POINTS = 60_000  # drawn: more only make the picture slower
AROUND_M = (0.7, 0.35, 0.7)  # shown beyond the musicians along x, y, z
INCHES_PER_M, MOST_INCHES = 2.2, 10  # the scale, and how wide the picture may be
REST_COLOUR, LEFT_OUT_COLOUR = "#c9c9c9", "#6e6e6e"  # points that are nobody's, candidates that are not taken


def draw_scene(scene: Scene, names: list[str]) -> Figure:
    """From above (x to the right, z down, towards the viewer) and from the front (x, y).

    names: of the musicians, in the order of their numbers. Each candidate has its number and score. Candidates that
    were not taken are dark grey, everything else is light grey.
    """
    own = scene.xyz[scene.owners >= 0]
    low, high = own.min(axis=0) - AROUND_M, own.max(axis=0) + AROUND_M
    low[1] = scene.floor_height_m - 0.1
    width, height, depth = high - low
    inches = min(INCHES_PER_M, MOST_INCHES / width)  # of a metre
    figure = Figure(figsize=(inches * width + 1, inches * (height + depth) + 1.4), layout="constrained")
    above, front = figure.subplots(2, 1, height_ratios=[depth, height])
    _draw(above, scene, names, axis=2, nearness=1)
    _draw(front, scene, names, axis=1, nearness=2)
    above.set(title="from above", ylabel="z (m), towards the viewer", ylim=(high[2], low[2]))
    front.set(title="from the front", xlabel="x (m)", ylabel="y (m)", ylim=(low[1], high[1]))
    for axes in (above, front):
        axes.set(xlim=(low[0], high[0]), aspect="equal", axisbelow=True)
        axes.grid(alpha=0.3)
    return figure


def _draw(axes: Axes, scene: Scene, names: list[str], axis: int, nearness: int) -> None:
    """Draws x against `axis`, with near points (along `nearness`) over far ones, and the names beside the musicians."""
    named = dict(zip(scene.taken, names, strict=True))
    musicians = dict(zip(scene.taken, range(len(names)), strict=True))
    colours = [
        matplotlib.colormaps["tab10"](musicians[number] % 10) if number in musicians else to_rgba(LEFT_OUT_COLOUR)
        for number in range(len(scene.candidates))
    ]
    step = -(-len(scene.xyz) // MOST_POINTS)
    xyz, owners = scene.xyz[::step], scene.owners[::step]
    order = np.lexsort((xyz[:, nearness], owners >= 0))
    xyz, owners = xyz[order], owners[order]
    of_points = np.array([*colours, to_rgba(REST_COLOUR)])[owners]
    axes.scatter(xyz[:, 0], xyz[:, axis], c=of_points, s=1.5, linewidths=0, rasterized=True)
    for number, (candidate, colour) in enumerate(zip(scene.candidates, colours, strict=True)):
        own = scene.xyz[scene.owners == number]
        if not len(own):
            continue
        name = named.get(number, "left out")
        place = (own[:, 0].mean(), np.percentile(own[:, axis], 99.5) + 0.17)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": colour}
        axes.annotate(f"{number + 1} {name} {candidate.score:.2f}", place, ha="center", va="center", bbox=box)
