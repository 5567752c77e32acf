"""Headphones: head-related impulse responses of a SOFA file, or of the KEMAR head that the package slab carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from spatial.geometry import directions_of
from utils.errors import InputError
from utils.files import fault_of_file
from utils.resampling import resample

INSTALL = "pip install slab sofar"
LONGEST_S = 1.0  # longest delay of a response


class Binaural:
    """What both ears hear of a source in the nearest measured direction: nothing is interpolated.

    Args:
        responses: `[M, 2, taps]`, left and right.
        directions: `[M, 3]` in a listener's axes, of any length.
    """

    num_channels = 2

    def __init__(self, responses: np.ndarray, directions: np.ndarray):
        self.responses = np.asarray(responses, dtype=np.float32)
        self._nearest = cKDTree(directions / np.linalg.norm(directions, axis=1, keepdims=True))

    def filters(self, directions: np.ndarray) -> np.ndarray:
        """Impulse responses `[I, 2, taps]` for unit vectors `[I, 3]` in the listener's axes."""
        return self.responses[self._nearest.query(directions)[1]]


def read_hrtf(path: str | Path | None, rate_hz: int) -> Binaural:
    """The responses of a SOFA file (convention SimpleFreeFieldHRIR), without one of KEMAR, at a rate.

    Raises:
        InputError: the file cannot be read or holds something else; a package is not installed.
    """
    responses, directions, own_rate_hz = _read_kemar() if path is None else _read_sofa(Path(path))
    if own_rate_hz != rate_hz:  # the same filter has more, smaller samples at a higher rate
        blocks = list(resample([responses.astype(np.float32)], own_rate_hz, rate_hz))
        responses = np.concatenate(blocks, axis=-1) * (own_rate_hz / rate_hz)
    return Binaural(responses, directions)


def _read_sofa(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    if fault := fault_of_file(path):
        raise InputError(f"{path}: cannot be read ({fault})")
    try:
        import sofar
    except ImportError as error:
        raise InputError(f"--hrtf needs the package sofar: {INSTALL}") from error
    try:
        sofa = sofar.read_sofa(str(path), verify=False, verbose=False)
        responses = np.asarray(sofa.Data_IR, dtype=float)
        rate_hz = float(np.ravel(sofa.Data_SamplingRate)[0])
        places = np.atleast_2d(np.asarray(sofa.SourcePosition, dtype=float))
        kind = str(sofa.SourcePosition_Type)
        delays = np.broadcast_to(np.atleast_2d(np.asarray(sofa.Data_Delay, dtype=float)), responses.shape[:2])
    except Exception as error:  # whatever a damaged file makes of netCDF
        raise InputError(f"{path}: not a SOFA file of head-related impulse responses ({error})") from error
    if responses.ndim != 3 or responses.shape[1] != 2 or not responses.size or places.shape != (len(responses), 3):
        raise InputError(f"{path}: responses of {list(responses.shape)}; expected [directions, 2 ears, samples]")
    if not (np.isfinite(responses).all() and np.isfinite(places).all() and rate_hz >= 1):
        raise InputError(f"{path}: responses, directions or the rate are not finite")
    if not ((delays >= 0) & (delays <= LONGEST_S * rate_hz)).all():
        raise InputError(f"{path}: delays that are not from 0 to {LONGEST_S:g} s")
    directions = places if kind == "cartesian" else directions_of(places[:, 0], places[:, 1])
    if not np.linalg.norm(directions, axis=1).all():
        raise InputError(f"{path}: a source in the middle of the head")
    return _delayed(responses, delays.round().astype(int)), directions, round(rate_hz)


def _delayed(responses: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Responses `[M, 2, taps]` after the samples `[M, 2]` by which each is late."""
    count, ears, taps = responses.shape
    late = np.zeros((count, ears, taps + delays.max()))
    index = np.arange(taps) + delays[..., None]
    np.put_along_axis(late, index, responses, axis=-1)
    return late


def _read_kemar() -> tuple[np.ndarray, np.ndarray, int]:
    try:
        import slab
    except (ImportError, OSError) as error:  # OSError: PortAudio is missing
        raise InputError(f"binaural without --hrtf needs the package slab: {INSTALL}") from error
    kemar = slab.HRTF.kemar()
    responses = np.stack([response.data.T for response in kemar.data])
    return responses, np.asarray(kemar.sources.cartesian, dtype=float), round(kemar.samplerate)
