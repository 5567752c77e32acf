"""Musicians that move: the same musicians found again in later captures of a scene, by their places."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.optimize import linear_sum_assignment

from separation.scene import Scene

FARTHEST_M = 1.0  # farthest that a musician walks between two captures
Track = list[tuple[float, np.ndarray]]  # seconds and centroid [3] in metres, from capture to capture


def track_musicians(scene: Scene, later: Iterable[tuple[float, Scene]]) -> list[Track]:
    """Where each of the N musicians of a scene is over time, from left to right as they were at first.

    In every later scene the musicians take the candidates nearest to where they were seen last, so that all distances
    over the floor together are smallest. Of one who is not found within a metre that moment is missing.

    Args:
        scene: at 0 s. later: seconds, ascending, and what was found then.
    """
    tracks: list[Track] = [[(0.0, musician.centroid_m)] for musician in scene.musicians]
    for seconds, found in later:
        everybody = found.with_taken(range(len(found.candidates))).musicians
        places = np.array([one.centroid_m for one in everybody if one.num_points]).reshape(-1, 3)  # [M, 3]
        last = np.stack([track[-1][1] for track in tracks])  # [N, 3]
        distances = np.hypot(*(last[:, None, axis] - places[None, :, axis] for axis in (0, 2)))  # [N, M]
        for n, m in zip(*linear_sum_assignment(distances.clip(max=2 * FARTHEST_M)), strict=True):
            if distances[n, m] <= FARTHEST_M:
                tracks[n].append((seconds, places[m]))
    return tracks
