"""Containers whose header states their size in bytes, which shows that a file is truncated where lengths are
unreliable.
"""

from __future__ import annotations

import os

UNKNOWN_SIZES = (0, 2**32 - 1)  # sizes in the headers of files that were written to a pipe
RIFF_HEADER_BYTES = 12
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_SIZE_PLACE = 40  # bytes from there to the size of the file
ASF_HEADER_BYTES = 2**16  # where the properties are looked for


def told_bytes(path: str) -> int:
    """The size in bytes that an AVI or ASF (WMA, WMV) file should have; 0 if its header does not say, or for other
    files.
    """
    with open(path, "rb") as file:
        start = file.read(RIFF_HEADER_BYTES)
        if start[:4] == b"RIFF" and start[8:] == b"AVI ":
            return _end_of_avi(path)
        if start != bytes.fromhex("3026b2758e66cf11a6d900aa"):
            return 0
        head = file.read(ASF_HEADER_BYTES)
    place = head.find(ASF_FILE_PROPERTIES)
    return int.from_bytes(head[place + ASF_SIZE_PLACE :][:8], "little") if place >= 0 else 0


def _end_of_avi(path: str) -> int:
    """Where the last of several consecutive RIFF chunks of a long file ends."""
    end, size = 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while end <= size - RIFF_HEADER_BYTES:
            file.seek(end)
            name, count = file.read(4), int.from_bytes(file.read(4), "little")
            if name != b"RIFF":
                break
            if count in UNKNOWN_SIZES:
                return 0
            end += 8 + count + count % 2
    return end
