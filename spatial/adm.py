"""A scene as an ADM file (ITU-R BS.2076): a WAV file in which every stem is an object with its position.

The file is a Broadcast Wave file in RIFF, or BW64 beyond 4 GB, with the chunks bext, axml and chna. Positions are seen
by a listener, in degrees and in shares of `absoluteDistance`, the metres to the farthest musician.
Samples are 24-bit; where stems exceed full scale all are turned down, and the gain of the objects turns them up again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path as FilePath
from xml.etree import ElementTree

import numpy as np

from spatial.ensemble import Ensemble
from spatial.geometry import Listener, Path, angles_of, seen_from
from utils.files import replacing

BITS = 24
BLOCK = 2**16  # samples that are written at a time
MOST_BYTES = 2**32 - 2**16  # in a RIFF file; BW64 holds more
FIRST_BLOCK_S = 0.001  # length of the first block: where a musician who moves from the start begins


def write_adm(path: FilePath, ensemble: Ensemble, listener: Listener) -> None:
    """Writes the stems of an ensemble, each the mean of its channels, and where a listener hears them.

    Raises:
        WriteError: the file cannot be written.
        InputError: a stem cannot be read.
    """
    peak = max([1.0, *(float(np.abs(block).max()) for block in _blocks(ensemble))])
    count, rate_hz = len(ensemble.names), ensemble.rate_hz
    frame = count * BITS // 8
    data_size = ensemble.num_samples * frame
    chunks = [
        (b"bext", _bext()),
        (b"fmt ", struct.pack("<HHIIHH", 1, count, rate_hz, rate_hz * frame, frame, BITS)),
        (b"chna", _chna(count)),
        (b"axml", _axml(ensemble, listener, peak)),
    ]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        size = 4 + 36 + sum(8 + len(body) + len(body) % 2 for _, body in chunks) + 8 + data_size + data_size % 2
        is_large = size > MOST_BYTES
        file.write(struct.pack("<4sI4s", b"BW64" if is_large else b"RIFF", 2**32 - 1 if is_large else size, b"WAVE"))
        sizes = struct.pack("<QQQI", size, data_size, 0, 0) if is_large else bytes(28)
        for name, body in [(b"ds64" if is_large else b"JUNK", sizes), *chunks]:
            file.write(struct.pack("<4sI", name, len(body)) + body + bytes(len(body) % 2))
        file.write(struct.pack("<4sI", b"data", 2**32 - 1 if is_large else data_size))
        for block in _blocks(ensemble):
            whole = (block.T / peak * (2 ** (BITS - 1) - 1)).round().astype("<i4")  # [n, count]
            file.write(np.ascontiguousarray(whole).view(np.uint8).reshape(*whole.shape, 4)[..., :3].tobytes())
        file.write(bytes(data_size % 2))


def _blocks(ensemble: Ensemble) -> Iterator[np.ndarray]:
    """All stems, `[N, n]` at a time."""
    for start in range(0, ensemble.num_samples, BLOCK):
        length = min(BLOCK, ensemble.num_samples - start)
        yield np.stack([ensemble.read(n, start, length) for n in range(len(ensemble.names))])


def _bext() -> bytes:
    """What makes it a Broadcast Wave file (EBU Tech 3285, version 0): what it is, and that it begins at time 0.

    Its date stays empty, so that the same scene gives the same file.
    """
    return struct.pack(
        "<256s32s32s10s8sQH254x", b"separated stems and their places", b"point-cloud separation", *[b""] * 3, 0, 0
    )


def _chna(count: int) -> bytes:
    """Which track is which object's."""
    rows = [
        struct.pack("<H12s14s11sx", n, b"ATU_%08x" % n, b"AT_0003%04x_01" % (0x1000 + n), b"AP_0003%04x" % (0x1000 + n))
        for n in range(1, count + 1)
    ]
    return struct.pack("<HH", count, count) + b"".join(rows)


def _axml(ensemble: Ensemble, listener: Listener, gain: float) -> bytes:
    end_s = ensemble.num_samples / ensemble.rate_hz
    seen = [_seen(path, listener, end_s) for path in ensemble.paths]
    farthest_m = max(float(angles_of(places)[2].max()) for _, places in seen)
    root = ElementTree.Element("ebuCoreMain", {"xmlns": "urn:ebu:metadata-schema:ebuCore_2016", "xml:lang": "en"})
    core = _add(_add(root, "coreMetadata"), "format")
    adm = _add(core, "audioFormatExtended", version="ITU-R_BS.2076-2")
    programme = _add(adm, "audioProgramme", audioProgrammeID="APR_1001", audioProgrammeName="scene")
    _add(programme, "audioContentIDRef", "ACO_1001")
    content = _add(adm, "audioContent", audioContentID="ACO_1001", audioContentName="ensemble")
    for n, (name, (seconds, places)) in enumerate(zip(ensemble.names, seen, strict=True), 1):
        number = f"{0x1000 + n:04x}"
        pack, channel, stream, track = (f"{kind}_0003{number}" for kind in ("AP", "AC", "AS", "AT"))
        is_objects = {"typeLabel": "0003", "typeDefinition": "Objects"}
        is_pcm = {"formatLabel": "0001", "formatDefinition": "PCM"}
        _add(content, "audioObjectIDRef", f"AO_{number}")
        part = _add(adm, "audioObject", audioObjectID=f"AO_{number}", audioObjectName=name)
        _add(part, "audioPackFormatIDRef", pack)
        _add(part, "audioTrackUIDRef", f"ATU_{n:08x}")
        part = _add(adm, "audioPackFormat", audioPackFormatID=pack, audioPackFormatName=name, **is_objects)
        _add(part, "audioChannelFormatIDRef", channel)
        _add(part, "absoluteDistance", f"{farthest_m:.6f}")
        part = _add(adm, "audioChannelFormat", audioChannelFormatID=channel, audioChannelFormatName=name, **is_objects)
        _add_blocks(part, number, seconds, places / farthest_m, gain)
        part = _add(adm, "audioStreamFormat", audioStreamFormatID=stream, audioStreamFormatName=name, **is_pcm)
        _add(part, "audioChannelFormatIDRef", channel)
        _add(part, "audioTrackFormatIDRef", f"{track}_01")
        part = _add(adm, "audioTrackFormat", audioTrackFormatID=f"{track}_01", audioTrackFormatName=name, **is_pcm)
        _add(part, "audioStreamFormatIDRef", stream)
        uid = {"UID": f"ATU_{n:08x}", "sampleRate": str(ensemble.rate_hz), "bitDepth": str(BITS)}
        part = _add(adm, "audioTrackUID", **uid)
        _add(part, "audioTrackFormatIDRef", f"{track}_01")
        _add(part, "audioPackFormatIDRef", pack)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _seen(path: Path, listener: Listener, end_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The times `[K]` of a musician's path up to the recording's end, and its places then `[K, 3]` for the listener."""
    seconds = np.append(path.seconds[path.seconds < end_s], end_s)
    return seconds, np.stack([seen_from(path.at(s)[None], *listener.at(s))[0] for s in seconds])


def _add_blocks(
    channel: ElementTree.Element, number: str, seconds: np.ndarray, places: np.ndarray, gain: float
) -> None:
    """Blocks of time: in the first the object rests, in each after it the object moves to the place of that block."""
    ends = seconds.clip(min=0)
    ends[0] = max(ends[0], FIRST_BLOCK_S if np.ptp(places, axis=0).any() else 0.0)
    begin = 0.0
    block = 0
    for end, place in zip(ends, places, strict=True):
        if end <= begin:
            continue
        block += 1
        azimuth, elevation, distance = (float(value[0]) for value in angles_of(place[None]))
        times = {"rtime": _clock(begin), "duration": _clock(end - begin)}
        part = _add(channel, "audioBlockFormat", audioBlockFormatID=f"AB_0003{number}_{block:08x}", **times)
        for coordinate, value in (("azimuth", azimuth), ("elevation", elevation), ("distance", distance)):
            _add(part, "position", f"{value:.6f}", coordinate=coordinate)
        _add(part, "gain", f"{gain:.6f}")
        begin = end


def _clock(seconds: float) -> str:
    """`hh:mm:ss.zzzzz`."""
    ticks = round(seconds * 100_000)
    whole, rest = divmod(ticks, 100_000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:05d}"


def _add(parent: ElementTree.Element, tag: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text
    return element
