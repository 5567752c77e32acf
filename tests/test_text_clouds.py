"""Text clouds: titles, orders of columns, decimal commas, several scans; nothing is guessed in silence."""

from __future__ import annotations

import numpy as np
import pytest

from dataset.captures import read_capture
from dataset.text_clouds import check_columns, read_text
from utils.errors import InputError

RNG = np.random.default_rng(0)
XYZ = (RNG.uniform(-1, 1, (60, 3)) * (0.4, 0.85, 0.3)).round(5)
LIGHT = RNG.uniform(0, 1, (60, 1))
RGB = (255 * LIGHT * RNG.uniform(0.7, 1, (60, 3))).round().astype(int)  # bright in the same places, as things are
NORMALS = RNG.normal(size=(60, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)
COLUMNS = {
    **{"xyz": XYZ, "rgb": RGB, "unit": RGB / 255, "normals": NORMALS, "alpha": np.full((60, 1), 255)},
    **{"scalar": RNG.normal(size=(60, 1)), "class": RNG.integers(0, 9, (60, 1)), "count": np.arange(60)[:, None]},
    **{"intensity": RNG.integers(-2048, 2048, (60, 1)), "grey": RGB.mean(axis=1, keepdims=True).round()},
}


def text(order, title="", separator=" ", ending="\n"):
    rows = np.concatenate([COLUMNS[name] for name in order.split()], axis=1)
    lines = [separator.join(f"{value:.9g}" for value in row) for row in rows]
    return (title + ending.join(lines) + ending).encode()


def read(tmp_path, content, name="a.xyz", columns=None):
    (tmp_path / name).write_bytes(content)
    return read_capture(str(tmp_path / name), columns=columns)


def check(capture, has_colours=True):
    np.testing.assert_allclose(capture.xyz, XYZ, atol=1e-6)
    assert (capture.rgb is not None) == has_colours
    if has_colours:
        np.testing.assert_allclose(capture.rgb, RGB / 255, atol=1e-6)


ORDERS = {  # without a title -> whether there are colours
    **{"xyz": False, "xyz scalar": False, "xyz normals": False, "xyz rgb": True, "xyz unit": True},
    **{"xyz rgb alpha": True, "xyz rgb scalar": True, "xyz rgb class": True, "xyz intensity rgb": True},
    **{"xyz scalar rgb": True, "xyz class rgb": True, "xyz rgb normals": True, "xyz normals rgb": True},
    **{"xyz unit normals": True, "xyz rgb scalar normals": True, "xyz scalar scalar rgb": True, "rgb xyz": True},
    **{"xyz normals scalar": False, "xyz rgb alpha normals": True, "rgb xyz normals": True},
}


@pytest.mark.parametrize("ending", ["xyz", "pts"])
@pytest.mark.parametrize("order", ORDERS)
def test_orders_by_their_values(tmp_path, order, ending):
    capture = read(tmp_path, text(order), f"a.{ending}")
    check(capture, ORDERS[order])
    assert order == "xyz" or "columns taken as " in capture.notes[0] and "--columns settles it" in capture.notes[0]


def test_an_intensity_made_of_the_colours_is_first_in_pts(tmp_path):
    check(read(tmp_path, text("xyz grey rgb", "60\n"), "a.pts"))


TITLED = [
    ("xyz rgb scalar", "//X Y Z R G B Scalar_field\n"),
    ("xyz rgb class", "//X Y Z R G B Classification\n"),
    ("xyz class rgb", "//X Y Z Classification R G B\n"),
    ("xyz rgb scalar normals", "//X Y Z R G B Scalar_field Nx Ny Nz\n"),
    ("xyz rgb scalar", "//X Y Z R G B Scalar_field\n60\n"),
    ("xyz unit normals", "# x y z red green blue nx ny nz\n"),
    ("xyz grey rgb", "x y z intensity red green blue\n"),
    ("rgb xyz", '"r" "g" "b" "x" "y" "z"\n'),
    ("rgb class xyz", "# made by hand\n# r g b label x y z\n"),
    ("class class class xyz rgb", "p q s x[m] y[m] z[m] R(0..255) G B\n"),
    ("xyz unit", "X Y Z Rf Gf Bf\n"),
]


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
@pytest.mark.parametrize(("order", "title"), TITLED, ids=[case[1].strip() for case in TITLED])
def test_titles(tmp_path, order, title, separator):
    title = title if title.startswith("# made") else title.replace(" ", separator)
    capture = read(tmp_path, text(order, title, separator))
    check(capture)
    assert not capture.notes


def test_a_title_that_does_not_fit_is_told(tmp_path):
    capture = read(tmp_path, text("xyz rgb scalar", "//X Y Z R G B\n"))
    check(capture)
    assert "its title of 6 words aside" in capture.notes[0]


def test_columns_settle_it(tmp_path):
    check(read(tmp_path, text("xyz class rgb"), columns=["x", "y", "z", "_", "r", "g", "b"]))
    check(read(tmp_path, text("class rgb xyz"), columns=["label", "r", "g", "b", "x", "y", "z"]))
    check(read(tmp_path, text("xyz rgb", "//x y z a b c\n"), columns=["x", "y", "z", "_", "_", "_"]), has_colours=False)
    with pytest.raises(InputError, match="7 columns, but --columns names 3"):
        read(tmp_path, text("xyz class rgb"), columns=["x", "y", "z"])
    for wrong in ("x y", "x y z r g", "x x y z", "x y z r r g b"):
        with pytest.raises(InputError, match="--columns: expected x y z"):
            check_columns(wrong.split())


def commas(content):
    return content.replace(b".", b",")


@pytest.mark.parametrize("separator", [";", " ", "\t", "; ", ", "])
@pytest.mark.parametrize("order", ["xyz", "xyz rgb", "xyz scalar rgb"])
def test_decimal_commas(tmp_path, order, separator):
    content = text(order, separator=separator if separator != ", " else "@").replace(b".", b",").replace(b"@", b", ")
    capture = read(tmp_path, content)
    check(capture, "rgb" in order)
    assert "commas taken as decimal points" in capture.notes


def test_commas_that_separate(tmp_path):
    for separator in (",", ", ", " , "):
        capture = read(tmp_path, text("xyz rgb", separator=separator))
        check(capture)
        assert "commas taken as decimal points" not in capture.notes


def test_commas_that_cannot_be_told_apart(tmp_path):
    with pytest.raises(InputError, match="commas stand both within and between its numbers"):
        read(tmp_path, b"0,38,0,46,0,02\n" * 9)
    with pytest.raises(InputError, match="both points and commas"):
        read(tmp_path, b"1.038,5;0,46;0,02\n" * 9)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("title", ["", "x y z r g b\n"])
def test_byte_order_marks_take_no_point(tmp_path, encoding, title):
    check(read(tmp_path, text("xyz rgb", title).decode().encode(encoding)))


@pytest.mark.parametrize("first", ["0.1.2 0.3 0.4", "x12 0.3 0.4", "O.1 0.2 0.3", "0,1,2 x 0.3", "-.a 1 2"])
def test_a_damaged_first_line_is_no_title(tmp_path, first):
    with pytest.raises(InputError, match="line 1: .* is not a number|line 1: 4|line 2: 3 numbers"):
        read(tmp_path, first.encode() + b"\n" + text("xyz"))


@pytest.mark.parametrize("title", ["", "//X Y Z\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(tmp_path, ends, title):
    content = b"\n\n" + text("xyz", title) + b"\n \n"
    check(read(tmp_path, content.replace(b"\n", ends.encode())), has_colours=False)


def test_several_scans(tmp_path):
    rows = text("xyz rgb").splitlines(keepends=True)
    content = b"20\n" + b"".join(rows[:20]) + b"\n0\n30\r\n" + b"".join(rows[20:50]) + b"10\n" + b"".join(rows[50:])
    check(read(tmp_path, content, "a.pts"))
    for wrong, reason in [
        (content[:-50], "points, but its first line states 10|the number of columns is 6"),
        (content.replace(b"30\r\n", b"29\n"), "more than the 29 points"),
        (content.replace(b"30\r\n", b"31\n"), "the number of columns is 6"),
    ]:
        with pytest.raises(InputError, match=reason):
            read(tmp_path, wrong, "a.pts")


def test_numbers_keep_their_digits(tmp_path):
    (tmp_path / "a.xyz").write_text("431234.567 5412345.678 12.5\n431234.568 5412345.679 12.5\n")
    assert read_text(str(tmp_path / "a.xyz")).xyz[1, 1] == 5412345.679
