"""Clouds that do not stand where training clouds stand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import write_cloud
from test_separate import body, files, run, stems_of  # noqa: F401

from dataset.placing import shift_to_origin


def test_clouds_that_stand_elsewhere_are_moved_to_the_origin(run, tmp_path):  # noqa: F811
    """A musician's place in the room, and the height of the camera, change nothing; --place keep leaves them."""
    xyz, rgb = body(0)
    found = {}
    for name, place in (("near", (0.1, 0, -0.1)), ("far", (3.37, 3.1, -2.2)), ("high", (-2.03, -1.31, 4.4))):
        write_cloud(tmp_path / name / "violin.ply", xyz + place, rgb)
        for option in ("origin", "keep"):
            out = tmp_path / name / option
            words = ("--place", option) if option == "keep" else ()
            code, printed, complaint = run(*words, points=(tmp_path / name / "violin.ply", "cello.ply"), output=out)
            assert code == 0, complaint
            assert ("m to the origin, where training clouds stand" in printed) == (
                name != "near" and option == "origin"
            )
            found[name, option] = stems_of(out)["violin"][0]
    np.testing.assert_allclose(found["far", "origin"], found["high", "origin"], atol=1e-3)
    np.testing.assert_array_equal(found["near", "origin"], found["near", "keep"])
    assert np.abs(found["far", "keep"] - found["far", "origin"]).max() > 0.01


@pytest.mark.parametrize(
    ("moved_by", "expected"),
    [
        ((0.3, 0, -0.3), None),  # the edge of a training cloud
        ((0, 0.2, 0), None),
        ((0.5, 0, 0.5), (-0.5, 0, -0.5)),
        ((0, -1.2, 0), (0, 1.2, 0)),  # as a camera sees it
        ((1, 3, 0), (-1, -3, 0)),  # on an upper floor
    ],
)
def test_where_a_cloud_stands(moved_by, expected):
    xyz, _ = body(0, points=20000)
    shift = shift_to_origin(xyz + moved_by)
    assert (shift is None) == (expected is None)
    if expected:
        np.testing.assert_allclose(shift, expected, atol=0.07)
