"""Files as they come: the length that a full decode gives, and every window equal to the whole, whatever the header."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile
from tools import TONE, by_ffmpeg, make, needs, without_first_frame, write_tone

from dataset.audio import open_recording, read_window, recording_length
from dataset.decoders import decoded_blocks, open_decoder
from dataset.media import MediaDecoder
from dataset.mpeg_file import MpegDecoder
from dataset.sound_file import ChainDecoder, SoundFileDecoder
from utils.errors import InputError

RATE = 11025


def check_windows(path, tolerance=1e-4) -> np.ndarray:
    """Windows of fresh handles and of one that is used again equal the whole, `[channels, L]`, which is returned."""
    with open_decoder(str(path)) as decoder:
        whole = np.concatenate(list(decoded_blocks(decoder))).T
        assert decoder.num_samples == whole.shape[1]
    length = whole.shape[1]
    places = {0, length - 1, *np.random.default_rng(0).integers(0, length, 20), *range(0, length, 40_001)}
    with open_recording(str(path)) as used:
        assert used.num_samples == length
        for start in sorted(places) + sorted(places, key=lambda place: place % 97):
            expected = whole[:, start : start + 3000]
            for recording in (used, None):
                if recording is None:
                    with open_recording(str(path)) as recording:
                        window = recording.read(int(start), expected.shape[1], recording.rate_hz)
                else:
                    window = recording.read(int(start), expected.shape[1], recording.rate_hz)
                np.testing.assert_allclose(window, expected, atol=tolerance, err_msg=f"at {start} of {length}")
    return whole


# Made by the tools that users have: the file, the line that makes it of a stereo tone at 44.1 kHz, its decoder.
MADE = [
    ("sox.mp3", f"sox {TONE} -c 1 -r 11025 sox.mp3", MpegDecoder),
    ("cbr.mp3", f"lame --quiet -t -b 128 {TONE} cbr.mp3", MpegDecoder),
    ("vbr.mp3", f"lame --quiet -t -V 4 {TONE} vbr.mp3", MpegDecoder),
    ("abr.mp3", f"lame --quiet -t --abr 60 -m m {TONE} abr.mp3", MpegDecoder),
    ("low.mp3", f"lame --quiet -t -V 9 --resample 8 {TONE} low.mp3", MpegDecoder),
    ("told.mp3", f"lame --quiet -V 4 {TONE} told.mp3", MpegDecoder),
    ("piped.mp3", f"ffmpeg -v error -i {TONE} -f mp3 - | cat >piped.mp3", MpegDecoder),
    ("two.mp2", f"ffmpeg -v error -i {TONE} -c:a mp2 two.mp2", MpegDecoder),
    ("mp3.wav", f"ffmpeg -v error -i {TONE} -c:a libmp3lame mp3.wav", MediaDecoder),
    ("vbr_mp3.wav", f"ffmpeg -v error -i {TONE} -c:a libmp3lame -q:a 6 vbr_mp3.wav", MediaDecoder),
    ("piped.flac", f"ffmpeg -v error -i {TONE} -f flac - | cat >piped.flac", SoundFileDecoder),
    ("cut.flac", f"flac -s {TONE} -o a.flac && ffmpeg -v error -ss 2 -i a.flac -c copy cut.flac", MediaDecoder),
    ("cut.mp3", f"lame --quiet -V 4 {TONE} a.mp3 && ffmpeg -v error -ss 2 -i a.mp3 -c copy cut.mp3", MpegDecoder),
    ("cut.ogg", f"oggenc -Q {TONE} -o a.ogg && ffmpeg -v error -ss 2 -i a.ogg -c copy cut.ogg", SoundFileDecoder),
    ("flac.ogg", f"ffmpeg -v error -i {TONE} -c:a flac flac.ogg", MediaDecoder),
    ("piped.ogg", f"ffmpeg -v error -i {TONE} -c:a libvorbis -f ogg - | cat >piped.ogg", SoundFileDecoder),
    ("enc.ogg", f"oggenc -Q -q 4 {TONE} -o enc.ogg", SoundFileDecoder),
    ("enc.opus", f"opusenc --quiet {TONE} enc.opus", SoundFileDecoder),
    ("gsm.wav", f"sox {TONE} -r 8000 -c 1 -e gsm-full-rate gsm.wav", MediaDecoder),
    ("adpcm.wav", f"sox {TONE} -e ms-adpcm adpcm.wav", SoundFileDecoder),
    ("piped.wav", f"sox {TONE} -t wav - | cat >piped.wav", SoundFileDecoder),
    ("one_block.flac", f"sox {TONE} -b 16 one_block.flac trim 1 2000s", SoundFileDecoder),
    ("aac.m4a", f"ffmpeg -v error -i {TONE} -c:a aac aac.m4a", MediaDecoder),
    ("adts.aac", f"ffmpeg -v error -i {TONE} -c:a aac adts.aac", MediaDecoder),
    ("offset.webm", f"ffmpeg -v error -i {TONE} -c:a libopus -output_ts_offset 30 offset.webm", MediaDecoder),
    (
        "gap.mkv",
        f"ffmpeg -v error -i {TONE} -af \"aselect='not(between(t,1,4))'\" -c:a libvorbis gap.mkv",
        MediaDecoder,
    ),
    ("s64.wav", f"ffmpeg -v error -i {TONE} -c:a pcm_s64le s64.wav", MediaDecoder),
]


@pytest.mark.parametrize(("name", "command", "kind"), MADE, ids=[case[0] for case in MADE])
def test_files_of_the_tools(tmp_path, name, command, kind):
    write_tone(tmp_path / TONE)
    make(tmp_path, command)
    with open_decoder(str(tmp_path / name)) as decoder:
        assert isinstance(decoder, kind)
        channels = decoder.num_channels
    whole = check_windows(tmp_path / name)
    expected = by_ffmpeg(tmp_path / name, channels)
    assert whole.shape[1] == len(expected) > 0.95 * 3 * 8000 / 2 or name == "one_block.flac"
    if name != "enc.opus":  # whose noise is drawn by the decoder
        np.testing.assert_allclose(whole.T, expected, atol=0.02 if name == "adpcm.wav" else 1e-3)


def test_free_format(tmp_path):
    """Which ffmpeg does not read."""
    wave = write_tone(tmp_path / TONE)
    make(tmp_path, f"lame --quiet -t --freeformat -b 400 {TONE} a.mp3")
    assert check_windows(tmp_path / "a.mp3").shape[1] == pytest.approx(len(wave), abs=2 * 1152)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [11025, 44100])
def test_mp3_that_does_not_tell_its_length(tmp_path, rate, mode):
    write_tone(tmp_path / TONE, rate_hz=rate)
    wave = soundfile.read(tmp_path / TONE)[0]
    soundfile.write(tmp_path / "a.mp3", wave, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    content = (tmp_path / "a.mp3").read_bytes()
    told = check_windows(tmp_path / "a.mp3")
    (tmp_path / "a.mp3").write_bytes(without_first_frame(content))
    found = check_windows(tmp_path / "a.mp3")
    delay = next(d for d in range(3000) if np.abs(found[:, d : d + 5000] - told[:, :5000]).max() < 1e-4)
    assert told.shape[1] == len(wave) and found.shape[1] >= len(wave) + delay
    np.testing.assert_allclose(found[:, delay : delay + len(wave)], told, atol=1e-4)
    frame = 1152 if rate > 24_000 else 576
    assert found.shape[1] % frame == 0 and found.shape[1] < len(wave) + delay + 2 * frame


def id3(size: int, fill: bytes = b"\xff\xfb\x90\x64") -> bytes:
    """A tag of `size` bytes behind its header, full of what looks like frames."""
    return b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + (fill * size)[:size]


TAGS = [
    ("ID3v2", id3(300_000), b""),
    ("ID3v2 twice", id3(1000) + id3(50), b""),
    ("ID3v1", b"", b"TAG" + b"x" * 125),
    ("APE", b"", b"APETAGEX" + b"\xd0\7\0\0" + b"y" * 500 + b"APETAGEX" + b"y" * 24),
    ("Lyrics3", b"", b"LYRICSBEGIN" + b"la " * 200 + b"000611LYRICS200"),
    ("zeros", b"", bytes(5000)),
    ("half a frame", b"", b"\xff\xfb\x90\x64" + b"z" * 50),
]


@pytest.mark.parametrize(("name", "before", "behind"), TAGS, ids=[case[0] for case in TAGS])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("ending", ["mp3", "flac"])
def test_tags_are_no_sound(tmp_path, ending, told, name, before, behind):
    write_tone(tmp_path / TONE)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, soundfile.read(tmp_path / TONE)[0], 44100)
    content = path.read_bytes()
    if not told:
        content = (
            without_first_frame(content)
            if ending == "mp3"
            else content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:]
        )
        path.write_bytes(content)
    expected = check_windows(path)
    path.write_bytes(before + content + behind)
    np.testing.assert_allclose(check_windows(path), expected, atol=1e-6)


def test_two_mp3_files_joined(tmp_path):
    wave = write_tone(tmp_path / TONE)
    soundfile.write(tmp_path / "a.mp3", wave, 44100)
    one = check_windows(tmp_path / "a.mp3")
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content + id3(500) + content)
    both = check_windows(tmp_path / "a.mp3")
    assert 2 * len(wave) < both.shape[1] < 2 * len(wave) + 5 * 1152  # what coders add at the ends is heard
    np.testing.assert_allclose(both[:, : len(wave) - 2000], one[:, :-2000], atol=1e-4)


def test_cover_art_does_not_count(tmp_path):
    """A picture makes libsndfile's estimate of the length a multiple of it."""
    write_tone(tmp_path / TONE)
    soundfile.write(tmp_path / "a.mp3", soundfile.read(tmp_path / TONE)[0], 44100)
    content = without_first_frame((tmp_path / "a.mp3").read_bytes())
    (tmp_path / "a.mp3").write_bytes(content)
    expected = recording_length(str(tmp_path / "a.mp3"), RATE)
    (tmp_path / "a.mp3").write_bytes(id3(2_000_000, b"picture") + content)
    assert recording_length(str(tmp_path / "a.mp3"), RATE) == expected


def test_two_flac_files_joined(tmp_path):
    waves = [write_tone(tmp_path / TONE, seconds) for seconds in (3.0, 1.0)]
    parts = []
    for wave in waves:
        soundfile.write(tmp_path / "a.flac", wave, 44100)
        parts.append((tmp_path / "a.flac").read_bytes())
    (tmp_path / "a.flac").write_bytes(id3(300) + parts[0] + id3(5000) + parts[1])
    np.testing.assert_allclose(check_windows(tmp_path / "a.flac").T, np.concatenate(waves), atol=1e-4)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg(tmp_path, subtype):
    waves = [write_tone(tmp_path / TONE, seconds, 48000) for seconds in (2.0, 0.3, 3.1)]
    parts = []
    for wave in waves:
        soundfile.write(tmp_path / "a.ogg", wave, 48000, format="OGG", subtype=subtype)
        parts.append((tmp_path / "a.ogg").read_bytes())
    wholes = [soundfile.read(tmp_path / "a.ogg", dtype="float32")[0]]
    (tmp_path / "a.ogg").write_bytes(b"".join(parts) + b"TAG" + bytes(125))
    with open_decoder(str(tmp_path / "a.ogg")) as decoder:
        assert isinstance(decoder, ChainDecoder)
    whole = check_windows(tmp_path / "a.ogg").T
    assert len(whole) == sum(map(len, waves))
    np.testing.assert_allclose(whole[-len(waves[-1]) :], wholes[0], atol=1e-4)


def test_chained_ogg_of_two_rates_is_refused_for_what_it_is(tmp_path):
    parts = []
    for rate in (44100, 22050):
        soundfile.write(tmp_path / "a.ogg", write_tone(tmp_path / TONE, 1.0, rate), rate)
        parts.append((tmp_path / "a.ogg").read_bytes())
    (tmp_path / "a.ogg").write_bytes(b"".join(parts))
    with pytest.raises(
        InputError, match=r"a.ogg: joined of recordings of 2 channel\(s\) at 44100 Hz and of 2 at 22050"
    ):
        recording_length(str(tmp_path / "a.ogg"), RATE)


def test_vorbis_windows_of_a_handle_that_was_used(tmp_path):
    """libsndfile's forward seeks miss by 448 samples where long and short blocks meet."""
    write_tone(tmp_path / TONE, 40.0)
    soundfile.write(tmp_path / "a.ogg", soundfile.read(tmp_path / TONE)[0], 44100)
    whole = soundfile.read(tmp_path / "a.ogg", dtype="float32")[0].T
    with open_recording(str(tmp_path / "a.ogg")) as recording:
        for hop in (22_050, 40_000, 65_536, 100_000):
            for start in range(0, whole.shape[1] - 3000, hop):
                window = recording.read(start, 3000, 44100)
                np.testing.assert_allclose(window, whole[:, start : start + 3000], atol=1e-4)


def wav(
    samples: bytes, tag: int, bits: int, size: int | None = None, order: str = "<", extensible: bool = False
) -> bytes:
    """A mono WAV file at 11025 Hz, written byte by byte; `size`: what its header says of the samples' bytes."""
    form = struct.pack(f"{order}HHIIHH", 0xFFFE if extensible else tag, 1, RATE, RATE * bits // 8, bits // 8, bits)
    form += struct.pack(f"{order}HHIHH", 22, bits, 4, tag, 0) + bytes(12) if extensible else b""
    size = len(samples) if size is None else size
    content = b"WAVEfmt " + struct.pack(f"{order}I", len(form)) + form
    content += b"data" + struct.pack(f"{order}I", size) + samples
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(content)) + content


WAVE = 0.5 * np.sin(0.05 * np.arange(30_000))
BIG_24 = (WAVE * 2**23).astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
BY_BYTES = [
    ("size 0", wav((WAVE * 2**15).astype("<i2").tobytes(), 1, 16, size=0)),
    ("size unknown", wav((WAVE * 2**15).astype("<i2").tobytes(), 1, 16, size=2**32 - 1)),
    ("RIFX 16", wav((WAVE * 2**15).astype(">i2").tobytes(), 1, 16, order=">")),
    ("RIFX 24", wav(BIG_24, 1, 24, order=">")),
    ("RIFX 24 extensible", wav(BIG_24, 1, 24, order=">", extensible=True)),
    ("RIFX float extensible", wav(WAVE.astype(">f4").tobytes(), 3, 32, order=">", extensible=True)),
    ("RIFX double", wav(WAVE.astype(">f8").tobytes(), 3, 64, order=">")),
    ("64-bit integers", wav((WAVE * 2**63).astype("<i8").tobytes(), 1, 64)),
]


@pytest.mark.parametrize(("name", "content"), BY_BYTES, ids=[case[0] for case in BY_BYTES])
def test_wav_files_written_byte_by_byte(tmp_path, name, content):
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_allclose(check_windows(tmp_path / "a.wav")[0], WAVE, atol=1e-4)


def test_big_endian_samples_that_nothing_reads_are_refused(tmp_path):
    """libav would take them for little-endian ones, which is noise."""
    (tmp_path / "a.wav").write_bytes(wav((WAVE * 2**63).astype(">i8").tobytes(), 1, 64, order=">"))
    with pytest.raises(InputError, match="a.wav: cannot be read as audio"):
        read_window(str(tmp_path / "a.wav"), 0, 100, RATE)


def test_opus_with_the_longest_pre_skip(tmp_path):
    """65535 samples at the beginning are none of the sound."""
    write_tone(tmp_path / TONE)
    make(tmp_path, f"opusenc --quiet {TONE} a.opus")
    content = bytearray((tmp_path / "a.opus").read_bytes())
    place = content.index(b"OpusHead") + 10
    content[place : place + 2] = b"\xff\xff"
    end = content.index(b"OggS", 4)
    content[22:26] = bytes(4)
    content[22:26] = page_checksum(bytes(content[:end])).to_bytes(4, "little")
    (tmp_path / "a.opus").write_bytes(content)
    needs("opusdec")
    make(tmp_path, "opusdec --quiet --rate 48000 a.opus by_opusdec.wav")
    expected = soundfile.read(tmp_path / "by_opusdec.wav", dtype="float32")[0].T
    whole = check_windows(tmp_path / "a.opus")
    assert whole.shape[1] == expected.shape[1]
    assert np.corrcoef(whole[0], expected[0])[0, 1] > 0.999


def page_checksum(page: bytes) -> int:
    """CRC-32 of an Ogg page: polynomial 0x04c11db7, bits not reversed, begins with 0."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 1 << 31 else 0)) & 0xFFFFFFFF
    return checksum


def decoded_again(decoder):
    raise AssertionError("decoded again")
    yield


def test_lengths_are_found_once(tmp_path, monkeypatch):
    """A scan or a decode of a file is not done again, until the file changes."""
    (tmp_path / "a.wav").write_bytes(wav((WAVE * 2**15).astype("<i2").tobytes(), 1, 16, size=0))
    write_tone(tmp_path / TONE)
    soundfile.write(tmp_path / "a.mp3", soundfile.read(tmp_path / TONE)[0], 44100)
    for name in ("a.wav", "a.mp3"):
        path = str(tmp_path / name)
        length = recording_length(path, RATE)
        with monkeypatch.context() as patch:
            patch.setattr("dataset.mpeg_file.find_mpeg_frames", None)
            patch.setattr(MediaDecoder, "blocks", decoded_again)
            assert recording_length(path, RATE) == length
    half = wav((WAVE[:15_000] * 2**15).astype("<i2").tobytes(), 1, 16, size=0)
    (tmp_path / "a.wav").write_bytes(half)
    assert recording_length(str(tmp_path / "a.wav"), RATE) == 15_000
