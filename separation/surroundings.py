"""A capture of a room -> what stands in it, after the floor, the walls and stray points are found and removed."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from utils.errors import InputError

LIBRARIES = "libusb-1.0-0 libgl1 libgomp1"
PLANE_M = 0.03  # points this far from a plane lie in it
LEAST_M, MARGIN_M = 0.01, 0.05  # how near to a floor or wall points belong to it, by the camera's noise
MOST_MARGIN_M = 0.12  # the same, of a wall far from the camera
LOW_M = 0.6  # the floor is looked for among the points no higher than this above the lowest
LEVEL = 0.97  # cosine of the steepest a floor may be, 14 degrees: cameras are seldom quite level
FLOOR_M2, WALL_M2 = 0.5, 1.5  # the smallest that count; of the floor where nothing stands on it: feet are no floor
GROUND_M2, DEEP_M = 3.0, 0.25  # a floor at least this large may have points so far below it
BEYOND = 0.05  # share of the points that may lie beyond a floor or wall: reflections, a door
MAX_WALLS, MOST_PLANES = 6, 10  # with the ceiling; planes that are looked at
UPRIGHT = 0.2  # sine of the largest angle between a wall and the vertical
WHOLE = 0.8  # share of a wall's length where some of it is seen
TALL_M = 2.2  # a plane this high is a wall even if it ends with the group: no row of basses is
BELOW_HEADS_M, REACHES_M = 0.15, 0.4  # how far below the heads a wall may end; how far it reaches beyond the group
CELL_M = 0.1  # areas are counted in cells of this size
STRAY_NEIGHBOURS, STRAY_M = 3, 0.08  # a voxel with fewer others this near is a stray


def import_open3d() -> ModuleType:
    """open3d, which is optional.

    Raises:
        InputError: it is not installed, or lacks system libraries.
    """
    try:
        import open3d
    except ModuleNotFoundError as error:
        raise InputError(
            f"scenes need open3d ({error}); pip install open3d, which scripts/setup.sh does as well"
        ) from error
    except (ImportError, OSError) as error:
        raise InputError(
            f"open3d cannot be imported ({error}); on Debian or Ubuntu: sudo apt-get install {LIBRARIES}"
        ) from error
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d


@dataclass(frozen=True)
class Plane:
    """A plane: the points whose `height` is 0. normal: `[3]`, of length 1, towards the room. area_m2: the part that is
    seen.
    """

    normal: np.ndarray
    offset_m: float
    area_m2: float

    def height(self, xyz: np.ndarray) -> np.ndarray:
        """Metres `[P]` of points `[P, 3]` from the plane, towards the room."""
        return xyz @ self.normal.astype(xyz.dtype) + xyz.dtype.type(self.offset_m)

    def margin(self, xyz: np.ndarray) -> float:
        """How far from the plane its own points among `[P, 3]` lie, in metres: three times their noise."""
        distance = abs(self.height(xyz))
        near = distance[distance <= 2 * MARGIN_M]
        return float(np.clip(3 * 1.4826 * np.median(near), MARGIN_M, MOST_MARGIN_M)) if len(near) else MARGIN_M

    def turned(self) -> Plane:
        """The same plane with its other side towards the room."""
        return Plane(-self.normal, -self.offset_m, self.area_m2)

    def holds(self, xyz: np.ndarray) -> np.ndarray:
        """Which of points `[P, 3]` belong to the plane or lie beyond it: `[P]` bool. It is as thick as the points'
        noise.
        """
        height = self.height(xyz)
        distance = abs(height[abs(height) <= MARGIN_M])
        noise = 1.4826 * np.median(distance) if len(distance) else 0.0  # standard deviation, whatever stands on it
        return height <= np.clip(3 * noise, LEAST_M, MARGIN_M)

    def below(self, x: float, z: float) -> float:
        """The y of the plane, which is a floor, at a place."""
        return float(-(self.offset_m + self.normal[0] * x + self.normal[2] * z) / self.normal[1])


def cloud_of(xyz: np.ndarray):
    """open3d's cloud of points `[P, 3]`."""
    open3d = import_open3d()
    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(xyz.astype(np.float64)))


def find_floor(voxels: np.ndarray) -> Plane | None:
    """The floor below voxels `[V, 3]`, if a part of it is seen: nearly level, and with almost nothing below it."""
    low = voxels[voxels[:, 1] < np.percentile(voxels[:, 1], 1) + LOW_M]
    plane = fit_plane(low)
    if plane is None or abs(plane.normal[1]) < LEVEL:
        return None
    plane = _facing_up(plane)
    height = plane.height(voxels)
    is_open = plane.area_m2 >= GROUND_M2  # a meadow may be uneven
    if (height < -(DEEP_M if is_open else MARGIN_M)).mean() > BEYOND:
        return None
    covered = _cells(voxels[height > MARGIN_M][:, [0, 2]])
    open_area = len(_cells(voxels[abs(height) <= MARGIN_M][:, [0, 2]]) - covered) * CELL_M**2
    return plane if open_area >= FLOOR_M2 else None


def find_walls(voxels: np.ndarray, floor: Plane | None) -> list[Plane]:
    """Walls and ceiling around voxels `[V, 3]` without the floor: see `_is_wall` and `_is_ceiling`."""
    up = floor.normal if floor else np.array([0.0, 1.0, 0.0])
    walls: list[Plane] = []
    hidden: list[Plane] = []  # planes with more behind them, perhaps the folds of a curtain
    pool = voxels  # in which planes are still looked for
    for _ in range(MOST_PLANES):
        plane = fit_plane(pool)
        if plane is None or plane.area_m2 < WALL_M2 or len(walls) >= MAX_WALLS:
            break
        margin = plane.margin(voxels)
        tried = [plane, *hidden]
        while tried:
            one = tried.pop(0)
            verdict, one, before = _judge(one, voxels, up)
            if verdict == "wall":
                walls.append(one)
                voxels = before
                tried, hidden = hidden, []
            elif verdict == "hidden" and not any(one is other for other in hidden):
                hidden.append(one)
        pool_height = plane.height(pool)
        pool = pool[abs(pool_height) > margin]
    return walls


def _judge(plane: Plane, voxels: np.ndarray, up: np.ndarray) -> tuple[str, Plane, np.ndarray]:
    """Whether a plane is a `wall` of voxels `[V, 3]`, or like a wall but `hidden`, with more behind it, or neither
    ('').

    Also returns the plane, turned towards the room, and what is in front of it.
    """
    height = plane.height(voxels)
    if (height > MARGIN_M).sum() < (height < -MARGIN_M).sum():
        plane, height = plane.turned(), -height
    margin = plane.margin(voxels)
    inside, before = voxels[abs(height) <= margin], voxels[height > margin]
    beyond = (height < -margin).sum() / max((abs(height) > margin).sum(), 1)
    if not (_is_wall(plane, inside, before, up) or _is_ceiling(plane, up)):
        return "", plane, before
    return ("wall" if beyond <= BEYOND else "hidden"), plane, before


def _is_wall(plane: Plane, inside: np.ndarray, before: np.ndarray, up: np.ndarray) -> bool:
    """Whether an upright plane that holds voxels `inside` `[V, 3]` is a wall behind what stands `before` it.

    A wall has no gaps, is at least as high as heads, and extends beyond the group; a row of flat instruments has gaps,
    or ends with the group.
    """
    if abs(plane.normal @ up) > UPRIGHT or not len(inside):
        return False
    if not len(before):
        return True
    along = np.cross(up, plane.normal)
    along /= np.linalg.norm(along)
    place, others = inside @ along, before @ along
    low, high = np.percentile(place, (1, 99))
    columns = np.bincount(((place - low) / CELL_M).astype(int).clip(0))[: max(int((high - low) / CELL_M), 1)]
    is_whole = (columns > 0).mean() >= WHOLE
    is_high = np.percentile(inside @ up, 98) >= np.percentile(before @ up, 98) - BELOW_HEADS_M
    left, right = np.percentile(others, (2, 98))
    lowest = np.percentile(before @ up, 1)
    beyond = max(left - low, 0) + max(high - right, 0)
    is_tall = np.percentile(inside @ up - lowest, 98) >= TALL_M
    return is_whole and is_high and (beyond >= REACHES_M or is_tall)


def _is_ceiling(plane: Plane, up: np.ndarray) -> bool:
    return bool(plane.normal @ up < -LEVEL)


def without_strays(voxels: np.ndarray) -> np.ndarray:
    """The voxels `[V, 3]` that have others near them."""
    if not len(voxels):
        return voxels
    _, kept = cloud_of(voxels).remove_radius_outlier(STRAY_NEIGHBOURS + 1, STRAY_M)  # it counts the voxel itself
    return voxels[np.asarray(kept, dtype=int)]


def _cells(xyz: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.floor(xyz / CELL_M).astype(int).tolist()))


def fit_plane(voxels: np.ndarray) -> Plane | None:
    """The plane through most of the voxels, the same in every run."""
    if len(voxels) < 3:
        return None
    import_open3d().utility.random.seed(0)
    # With probability 1 all triples are tried, whichever thread is first.
    (*normal, offset), inliers = cloud_of(voxels).segment_plane(PLANE_M, 3, 1000, probability=1.0)
    return Plane(np.array(normal), offset, len(_cells(voxels[inliers])) * CELL_M**2)


def _facing_up(plane: Plane) -> Plane:
    return plane if plane.normal[1] > 0 else plane.turned()
