"""The pages of an Ogg file: where each of the recordings that it may hold, one after another, begins and ends."""

from __future__ import annotations

from mmap import mmap

CAPTURE = b"OggS"
HEADER_BYTES = 27  # bytes of a page before its table of segments
FIRST_PAGE = 2  # flag of a stream's first page


def find_links(data: bytes | mmap) -> list[tuple[int, int]]:
    """Begin and end in bytes of every chained recording, without anything that lies between them."""
    links: list[tuple[int, int]] = []
    was_first = False
    position = data.find(CAPTURE)
    while 0 <= position <= len(data) - HEADER_BYTES:
        if data[position : position + 4] != CAPTURE:
            position = data.find(CAPTURE, position)
            continue
        segments = data[position + 26]
        end = position + HEADER_BYTES + segments
        end = min(len(data), end + sum(data[end - segments : end]))
        is_first = bool(data[position + 5] & FIRST_PAGE)
        if is_first and not was_first:  # several first pages in a row are streams of one recording
            links.append((position, end))
        elif links:
            links[-1] = (links[-1][0], end)
        position, was_first = end, is_first
    return links
