"""An image library as they are found in the field: it reads pictures well and lets nothing go.

Each picture leaves behind two open files, a file in ``/tmp`` and its pixels in a cache that nobody empties.
None of that is seen in a test of one page. An environment of Lambda has 1,024 descriptors, and without a cure
it fails at about the five-hundredth page; by then nobody suspects the pictures.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

_CACHE: list[tuple[bytes, IO[bytes], IO[bytes]]] = []


class BrokenPicture(Exception):  # noqa: N818 (a handler's exceptions read as plain statements)
    """The picture's data is not what its size says."""


class Picture:
    """Pixels, row by row.

    :param pixels: three bytes each, red, green and blue
    :param width: pixels in a row
    :param height: rows
    :raises BrokenPicture: when there are too few or too many pixels
    """

    def __init__(self, pixels: bytes, width: int, height: int) -> None:
        wanted = width * height * 3
        if len(pixels) != wanted:
            raise BrokenPicture(f"{len(pixels):,} bytes for {width} × {height} pixels, which need {wanted:,}")
        self.width = width
        self.height = height
        self.pixels = pixels
        descriptor, path = tempfile.mkstemp(prefix="leaky-", suffix=".raw")
        spool = os.fdopen(descriptor, "wb")
        spool.write(pixels)
        spool.flush()
        _CACHE.append((pixels, spool, Path(path).open("rb")))  # noqa: SIM115 (this is the leak)

    def grey(self) -> bytes:
        """One byte for each pixel."""
        return self.pixels[::3]
