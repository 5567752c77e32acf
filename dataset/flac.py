"""The bytes of a FLAC file: where the recordings joined in it begin, and the number of samples in its header."""

from __future__ import annotations

from mmap import mmap

BEGIN = b"fLaC\0\0\0\x22"  # a marker, and the header of the block that comes first
COUNT = 21  # bytes from there to the number of samples, of 36 bits
BLOCK_HEADER_BYTES = 4
LAST_BLOCK = 0x80  # flag of a block of metadata


def find_flac_links(data: bytes | mmap, offset: int) -> list[tuple[int, int]]:
    """Begin and end in bytes of every recording in a file; the first one begins at `offset`."""
    begins = [offset]
    while (begin := data.find(BEGIN, begins[-1] + 1)) >= 0:
        begins.append(begin)
    return list(zip(begins, [*begins[1:], len(data)], strict=True))


def is_cut_out(data: bytes | mmap, offset: int) -> bool:
    """Whether the frames' numbers do not begin at 0, as in a file that was cut out of another one."""
    position, flags = offset + BLOCK_HEADER_BYTES, 0
    while not flags & LAST_BLOCK and position + BLOCK_HEADER_BYTES <= len(data):
        flags = data[position]
        position += BLOCK_HEADER_BYTES + int.from_bytes(data[position + 1 : position + BLOCK_HEADER_BYTES], "big")
    frame = data[position : position + 5]
    return len(frame) == 5 and frame[0] == 0xFF and frame[1] & 0xFC == 0xF8 and frame[4] != 0


def with_count(head: bytes, num_samples: int) -> bytes:
    """The beginning of a FLAC file with its number of samples filled in; files written to a pipe have 0 there."""
    high = head[COUNT] & 0xF0 | num_samples >> 32
    return head[:COUNT] + bytes([high]) + (num_samples & 0xFFFFFFFF).to_bytes(4, "big")
