"""How the open data set plays scores and draws bodies, without fonts, scores and bodies of others."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from demo_data.shapes import Frame  # noqa: E402
from demo_data.voices import MANNERS  # noqa: E402
from open_data import ensembles, pieces, solids, sounds  # noqa: E402
from open_data.patches import HEADER, SAMPLE_HEADER, read_patch, soundfont_of  # noqa: E402
from open_data.pieces import PartNote  # noqa: E402

from utils.errors import InputError  # noqa: E402
from utils.seeding import generator  # noqa: E402

SCALE = tuple(PartNote(n / 2, 0.5, (60 + n, 67 + n)) for n in range(24))


@pytest.mark.parametrize("instrument", MANNERS)
@pytest.mark.parametrize("octaves", [-3, 0, 3])
def test_every_range_is_respected(instrument, octaves):
    part = [PartNote(n.onset, n.length, tuple(p + 12 * octaves for p in n.pitches)) for n in SCALE]
    moved = sounds.into_range(part, instrument)
    pitches = [pitch for note in moved for pitch in note.pitches]
    assert MANNERS[instrument].lowest <= min(pitches) and max(pitches) <= MANNERS[instrument].highest
    most = {"guitar": 4, "saxophone": 1}.get(instrument, 2)
    assert max(len(note.pitches) for note in moved) <= most
    before = {pitch % 12 for note in part for pitch in note.pitches}
    assert {pitch % 12 for pitch in pitches} <= before  # by octaves alone


def test_a_part_moves_as_a_whole_where_it_can():
    melody = [PartNote(n, 1.0, (48 + n,)) for n in range(8)]
    (shift,) = {b.pitches[0] - a.pitches[0] for a, b in zip(melody, sounds.into_range(melody, "violin"), strict=True)}
    assert shift in (12, 24, 36)


def test_an_excerpt_begins_again_where_the_part_ends():
    notes = sounds.excerpt(SCALE, 10.0, 8.0, 12.0)
    assert [note.onset for note in notes] == pytest.approx([n / 2 for n in range(16)])
    assert notes[0].pitches == SCALE[20].pitches and notes[4].pitches == SCALE[0].pitches


def test_parts_of_different_lengths_begin_again_together():
    """A part that ends early rests until the piece ends."""
    short, whole = (sounds.excerpt(part, 3.0, 30.0, 12.0) for part in (SCALE[:15], SCALE))
    for again in (9.0, 21.0):
        assert [[n.pitches for n in notes if n.onset == again] for notes in (short, whole)] == [[SCALE[0].pitches]] * 2
    assert not [note for note in short if 4.5 <= note.onset < 9.0]


def score_of(*parts):
    """A music21 score in 3/4: parts of bars of (length, pitch), where pitch 0 is a rest."""
    music21 = pytest.importorskip("music21", reason="run ./scripts/setup.sh --open")
    score = music21.stream.Score()
    for bars in parts:
        part = music21.stream.Part()
        for number, bar in enumerate(bars, 1):
            measure = music21.stream.Measure(number=number)
            if number == 1:
                measure.append(music21.meter.TimeSignature("3/4"))
            for length, pitch in bar:
                note = music21.note.Note(pitch) if pitch else music21.note.Rest()
                note.quarterLength = length
                measure.append(note)
            part.append(measure)  # at the end of what the bars before hold, as music21 reads files
        score.insert(0, part)
    return score


def test_bars_of_all_parts_begin_together():
    """Bar 2 of the first part is too full, bar 3 of the second is not full; bar 1 is an upbeat and stays short."""
    good = [(1, 60), (1, 62), (1, 64)]
    first = [[(1, 55)], [*good, (0.5, 65), (0.5, 0)], good, good, good]
    second = [[(1, 48)], good, [(1, 50)], [(1, 60), (1, 62), (2.5, 64)], good]
    bars, (high, low) = pieces.bars_and_parts(score_of(first, second))
    assert [start / pieces.TICKS for start in bars] == [0, 1, 4, 7, 10, 13]
    assert [(onset / pieces.TICKS, pitches) for onset, _, pitches in high] == [
        (0, [55]),
        *((start + n, [60 + 2 * n]) for start in (1, 4, 7, 10) for n in range(3)),
    ]
    assert [onset / pieces.TICKS for onset, _, _ in low] == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12]
    assert {length / pieces.TICKS for _, length, _ in [*high, *low]} == {1}  # 2.5 quarters end with their bar


def test_bars_of_a_work_begin_together():
    """Eight bars of the second movement of Haydn's opus 74 no. 1 are not full in one part or more."""
    corpus = pytest.importorskip("music21.corpus", reason="run ./scripts/setup.sh --open")
    score = corpus.parse("haydn/opus74no1/movement2")
    bars, parts = pieces.bars_and_parts(score)
    assert {end - start for start, end in zip(bars, bars[1:], strict=False)} == {1.5 * pieces.TICKS}  # 3/8
    for part, notes in zip(score.parts, parts, strict=True):
        onsets, seen = {onset for onset, _, _ in notes}, 0
        for measure, start in zip(part.getElementsByClass("Measure"), bars, strict=False):
            first = measure.notesAndRests[0]
            if first.isNote and first.tie is None and first.quarterLength:
                seen += 1
                assert start in onsets, (part.id, measure.number)
        assert seen > 80
    assert max(onset + length for notes in parts for onset, length, _ in notes) <= bars[-1]


def test_an_ensemble_begins_with_a_bar():
    bars = (0.0, 0.5, 2.0, 3.5, 5.0, 6.5)  # 3/8 after an upbeat
    piece = pieces.Piece((SCALE,), bars)
    rng = generator(0)
    assert {ensembles.first_bar(piece, 3.0, rng) for _ in range(100)} == {0.0, 0.5, 2.0, 3.5}
    assert ensembles.first_bar(piece, 60.0, rng) == 0.0


def test_long_rests_are_cut():
    part = [PartNote(0, 1, (60,)), PartNote(9, 1, (62,)), PartNote(10.5, 1, (64,))]
    assert [note.onset for note in sounds.without_rests(part)] == [0, 2, 3.5]


def test_notes_as_played_lie_within_the_recording():
    rng = generator(0)
    how = sounds.draw_performance(90.0, rng)
    notes = sounds.perform(SCALE, how, 5.0, rng)
    assert all(0 <= note.onset_s < note.end_s <= 5.0 and 45 <= note.velocity <= 120 for note in notes)
    assert abs(how.cents) <= 15 and len({note.velocity for note in notes}) > 3


def test_levels():
    wave = np.random.default_rng(0).standard_normal(11025) * 0.01
    for gain_db in (-2.5, 2.5):
        level = 20 * np.log10(np.sqrt((sounds.levelled(wave, gain_db) ** 2).mean()))
        assert level == pytest.approx(-20 + gain_db, abs=0.01)
    assert np.abs(sounds.levelled(np.eye(1000)[0], 0)).max() == pytest.approx(0.95)  # a click would be above full scale


def patch(path, modes=0x65, root_hz=440.0):
    """A patch of the Gravis UltraSound with one looped sine of 440 Hz."""
    wave = (20_000 * np.sin(2 * np.pi * 440 / 22_050 * np.arange(22_050))).astype("<i2").tobytes()
    head = bytearray(HEADER)
    head[:12], head[198] = b"GF1PATCH110\0", 1
    numbers = struct.pack("<IIIHIII", len(wave), 2 * 4410, 2 * 17_640, 22_050, 8000, 8_000_000, round(root_hz * 1000))
    sample = bytearray(SAMPLE_HEADER)
    sample[8 : 8 + len(numbers)], sample[55] = numbers, modes
    path.write_bytes(bytes(head + sample) + wave)
    return path


@pytest.mark.parametrize("root_hz", [440.0, 452.0])
def test_a_patch_sounds_at_the_pitch_that_is_asked_for(tmp_path, root_hz):
    """A sample that is said to be sharp is played lower."""
    tinysoundfont = pytest.importorskip("tinysoundfont", reason="run ./scripts/setup.sh --open")
    synth = tinysoundfont.Synth(samplerate=44_100)
    number = synth.sfload(soundfont_of(read_patch(patch(tmp_path / "a.pat", root_hz=root_hz)), 40, plucked=False))
    synth.program_select(0, number, 0, 40)
    synth.noteon(0, 76, 100)
    wave = np.frombuffer(synth.generate(3 * 44_100), np.float32)[::2]  # longer than the sample: the loop holds it
    assert np.abs(wave[-4410:]).max() > 0.01
    spectrum = np.abs(np.fft.rfft(wave[44_100:] * np.hanning(len(wave) - 44_100)))
    wanted = 440 * 440 / root_hz * 2 ** (7 / 12)
    assert spectrum.argmax() / 2 == pytest.approx(wanted, rel=0.003)


def test_what_is_no_patch_is_told(tmp_path):
    (tmp_path / "b.pat").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b.pat: not a patch"):
        read_patch(tmp_path / "b.pat")
    with pytest.raises(InputError, match="not signed, 16 bits and looped"):
        read_patch(patch(tmp_path / "c.pat", modes=0x64))


BOX = Frame(np.zeros(3), np.eye(3))


def volume(mesh):
    """Enclosed volume; its sign tells which side the triangles face, so that each of them counts alone."""
    a, b, c = mesh.vertices[mesh.triangles.T]
    return (a * np.cross(b, c)).sum() / 6


def test_meshes_have_the_measures_asked_for():
    box = solids.box(BOX, np.array([0.1, 0.2, 0.3]), np.ones(3))
    assert np.ptp(box.vertices, axis=0) == pytest.approx([0.2, 0.4, 0.6])
    ball = solids.ellipsoid(np.zeros(3), np.full(3, 0.5), np.ones(3))
    assert abs(volume(ball)) == pytest.approx(np.pi / 6, rel=0.1)
    tube = solids.tube(np.array([[0, 0, 0], [0, 1.0, 0]]), np.full(2, 0.1), np.ones(3))
    sides = np.hypot(tube.vertices[:-2, 0], tube.vertices[:-2, 2])
    assert sides == pytest.approx(np.full(len(sides), 0.1)) and np.ptp(tube.vertices[:, 1]) == pytest.approx(1.0)


def test_the_camera_sees_what_is_in_front():
    """A wall before another: every point lies on the nearer, at its depth, with its colour."""
    pytest.importorskip("open3d", reason="scenes need open3d")
    from demo_data.camera import Camera
    from open_data.depth_camera import photograph

    near = solids.box(Frame(np.array([0, 1.2, 0.0]), np.eye(3)), np.array([0.3, 0.3, 0.01]), np.array([1.0, 0, 0]))
    far = solids.box(Frame(np.array([0, 1.2, -0.5]), np.eye(3)), np.array([0.25, 0.25, 0.01]), np.array([0, 0, 1.0]))
    camera = Camera(1.2, 2.6, np.array([0.0, 0.0, 1.0]), np.ones(3), pixel_rad=0.004, noise=0.0)
    xyz, rgb, triangle = photograph(solids.merge([near, far]), BOX, camera, generator(0))
    assert 2000 < len(xyz) < 3600 and triangle.max() < len(near.triangles)
    torn = xyz[:, 2] < 0.005  # pixels on silhouettes are torn backwards
    assert torn.mean() < 0.02 and xyz[~torn, 2] == pytest.approx(np.full((~torn).sum(), 0.01), abs=1e-6)
    assert (rgb[:, 0] > 200).all() and (rgb[:, 2] < 40).all()
    again = photograph(solids.merge([near, far]), BOX, camera, generator(0))
    assert all(np.array_equal(a, b) for a, b in zip((xyz, rgb, triangle), again, strict=True))
