"""A look at images before a run: how many, how large, and which cannot be opened."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ..image_files import is_shards
from ..interop.cores import usable_cores
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
    unreadable: list[str]
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
            names = ', '.join(self.unreadable[:3])
            more = ', ...' if len(self.unreadable) > 3 else ''
            found.append(f'{len(self.unreadable):,} cannot be opened ({names}{more}): skipped')
        return found


def look(images: str | Path, sampled: int = SAMPLED) -> Folder:
    """Read the headers of the images in a folder or in shards, or of so many, drawn at random.

    Raises:
        FileNotFoundError: There is no image.
        ValueError: None of them can be opened.
    """
    some: Sequence[Path | str]
    if is_shards(images):
        from ..data.shard_index import some_uris

        count, some = some_uris(str(images), sampled)
    else:
        paths = find_images(images)
        count = len(paths)
        some = paths if count <= sampled else random.Random(0).sample(paths, sampled)
    with warnings.catch_warnings(), ThreadPoolExecutor(4 * usable_cores()) as pool:
        # Pillow's, about images that are large, and that training takes.
        warnings.simplefilter('ignore')
        sizes = list(pool.map(_size, some))
    names = [path.name if isinstance(path, Path) else path for path in some]
    unreadable = [name for name, size in zip(names, sizes, strict=True) if size is None]
    known = [size for size in sizes if size is not None]
    if not known:
        raise ValueError(
            f'none of the {count:,} files in {str(images)!r} can be opened as an image, '
            f'{unreadable[0]} for one'
        )
    return Folder(count, known, unreadable, len(some))


def _size(path: Path | str) -> tuple[int, int] | None:
    """Width and height; None where the header says neither."""
    from io import BytesIO

    from mmengine import fileio
    from PIL import Image, UnidentifiedImageError

    try:
        # What has no path is in a shard.
        source = path if isinstance(path, Path) else BytesIO(fileio.get(path))
        with Image.open(source) as image:
            return image.size
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return None
