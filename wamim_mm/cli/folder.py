"""A look at a folder of images before a run: how many, how large, and which cannot be opened."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .checks import find_images

#: Files whose headers are read; of more, so many are drawn.
SAMPLED = 5000


class Folder(NamedTuple):
    """What a look at a folder has found.

    Attributes:
        images: How many are in it, by their suffixes.
        sizes: Width and height of those whose header could be read.
        unreadable: Those whose header could not.
        looked_at: How many were looked at.
    """

    images: int
    sizes: list[tuple[int, int]]
    unreadable: list[Path]
    looked_at: int

    @property
    def short_side(self) -> int:
        """The median, in pixels."""
        return int(median(min(size) for size in self.sizes))

    def lines(self) -> list[str]:
        """What to say of it."""
        width, height = (int(median(side)) for side in zip(*self.sizes, strict=True))
        low, high = min(self.sizes, key=min), max(self.sizes, key=max)
        sides = f'{low[0]} x {low[1]} to {high[0]} x {high[1]}, median {width} x {height} pixels'
        drawn = f' ({self.looked_at:,} looked at)' if self.looked_at < self.images else ''
        found = [f'{self.images:,} images{drawn}, {sides if low != high else sides.split(", ")[1]}']
        if self.unreadable:
            names = ', '.join(path.name for path in self.unreadable[:3])
            more = ', ...' if len(self.unreadable) > 3 else ''
            found.append(
                f'{len(self.unreadable):,} cannot be opened ({names}{more}): they are skipped'
            )
        return found


def look(folder: Path, sampled: int = SAMPLED) -> Folder:
    """Read the headers of the images under a folder, or of so many of them, drawn at random.

    Raises:
        FileNotFoundError: There is no image.
        ValueError: None of them can be opened.
    """
    paths = find_images(folder)
    some = paths if len(paths) <= sampled else random.Random(0).sample(paths, sampled)
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:
        sizes = list(pool.map(_size, some))
    unreadable = [path for path, size in zip(some, sizes, strict=True) if size is None]
    known = [size for size in sizes if size is not None]
    if not known:
        raise ValueError(
            f'none of the {len(paths):,} files in {str(folder)!r} can be opened as an image, '
            f'{unreadable[0].name} for one'
        )
    return Folder(len(paths), known, unreadable, len(some))


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height; None where the header says neither."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return None
