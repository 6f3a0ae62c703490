"""Where the images of tar shards are, so that any of them can be read by itself.

The index of a shard lies beside it, or in a cache where that place cannot be written to.

An image is named as fsspec names it, and by its first byte, its size and a checksum:
``tar://n01440764/1.jpg::/data/000.tar#1536+110231+9c0e2f71``, the last being a checksum of its
header, so that another shard under the same name is noticed.
"""

import hashlib
import os
import random
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from typing import BinaryIO

import numpy as np
from braceexpand import braceexpand
from fsspec.core import url_to_fs

from ..image_files import ARCHIVES, SUFFIXES
from ..interop.whole_files import write_whole
from .bad_files import BadImage
from .storage import file_size, is_remote, read_all, read_part, read_through

__all__ = [
    'ShardIndex',
    'index_file',
    'index_shard',
    'index_shards',
    'no_image',
    'parse_uri',
    'shard_names',
    'shard_uris',
    'some_uris',
    'uri_at',
]

#: What is in a folder until all of its shards are written (`shard_writing`).
UNFINISHED = 'unfinished_plan.json'
#: Of an index, after the name of its shard.
INDEX = '.index.npy'
BLOCK = tarfile.BLOCKSIZE
#: Shards that are looked at together; most of the time is spent waiting.
THREADS = 16
#: Of a class. Larger numbers beside images are no labels.
LARGEST_LABEL = 10_000_000
#: In place of a label, where several members of one name have several.
TWO_LABELS = -2
#: Links that lead to links: more are a circle.
LINKS = 8
#: Bytes of zeros at the end of a shard; more are a download that has stopped.
LARGEST_RECORD = 1 << 20


def shard_names(pattern: str) -> list[str]:
    """The shards that a pattern means, in order.

    Args:
        pattern: Paths or addresses, with ``{000..999}`` and ``{a,b}`` as in shells, and ``*``, in
            paths also ``?`` and ``[0-9]``; or a folder, for its ``*.tar``.

    Raises:
        FileNotFoundError: There is none in a folder, or for a ``*``.
        ImportError: fsspec lacks what it needs for such an address.
        ValueError: A brace is not closed, or the writing of the shards in the folder was stopped.
    """
    if '://' not in pattern and Path(pattern).is_file():
        return [pattern]
    if '://' not in pattern and Path(pattern).is_dir():
        if Path(pattern, UNFINISHED).is_file():
            raise ValueError(
                f'the shards in {pattern} are not all written: wamim shards DIR {pattern} goes on'
            )
        found = [item.path for item in os.scandir(pattern) if item.name.lower().endswith(ARCHIVES)]
        if not found:
            raise FileNotFoundError(f'no .tar file in {pattern!r}; give a folder with some')
        return sorted(found)
    try:
        expanded = list(braceexpand(pattern))
    except ValueError:
        raise ValueError(
            f"a brace is not closed in {pattern!r}; write it as 'DIR/{{000..999}}.tar'"
        ) from None
    names = []
    for name in expanded:
        # In addresses these may be anything.
        local = not is_remote(name) and not Path(name).is_file()
        if not set(name) & set('*?[' if local else '*'):
            names.append(name)
            continue
        system, path = url_to_fs(name)
        found = sorted(map(str, system.glob(path)))
        if not found:
            raise FileNotFoundError(
                f'no shard at {name!r}; give a folder with .tar files, or their names, such as '
                "'DIR/{000..999}.tar'"
            )
        names += map(system.unstrip_protocol, found) if is_remote(name) else found
    return names


@dataclass(frozen=True)
class ShardIndex:
    """Where the images of a shard are.

    Attributes:
        shard: Its name.
        records: Of its images: ``name`` in the shard, ``offset`` of the first byte, ``size`` in
            bytes, ``label``, the number in the member of the same name that ends in ``.cls``, or
            -1, or `TWO_LABELS`, and ``check``, the CRC-32 of its header.
        fault: What is wrong with the shard.
    """

    shard: str
    records: np.ndarray
    fault: BadImage | None

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.records)

    def uri(self, place: int) -> str:
        """The name of an image.

        Args:
            place: Of the image, in the order of the shard.
        """
        record = self.records[place]
        name = record['name'].decode(errors='surrogateescape')
        # MMEngine wants one '://' in a name; and '::' ends that of the image.
        shard = self.shard.replace('::', ':%3A').replace('://', ':%2F%2F')
        bytes_of_it = f'{record["offset"]}+{record["size"]}+{record["check"]:08x}'
        return f'tar://{name.replace("://", ":/")}::{shard}#{bytes_of_it}'


def index_shard(shard: str) -> ShardIndex:
    """The index of a shard, made where there is none.

    A shard that is cut off or damaged has the images before that place.
    """
    try:
        size = file_size(shard)
        changed = None if is_remote(shard) else os.stat(shard).st_mtime_ns
        kept = _cached(shard)
        places = (kept,) if is_remote(shard) else (shard + INDEX, kept)
        loaded = (_load(place, size, changed) for place in places)
        records = next((found for found in loaded if found is not None), None)
        if records is None and is_remote(shard):
            with suppress(OSError):  # most shards have none
                content = read_all(shard + INDEX)
                write_whole(kept, lambda file: file.write(content))
                records = _load(kept, size, None)
        if records is None:
            records = _scan(shard, size)
            _keep(shard, kept, records)
    except (OSError, ValueError, tarfile.TarError) as error:
        reason = getattr(error, 'strerror', None) or str(error) or type(error).__name__
        bad = BadImage(shard, f'cannot be read: {reason}')
        return ShardIndex(shard, np.empty(0, _dtype(1)), bad)
    fault = records[-1]['name'].decode()
    return ShardIndex(shard, records[:-1], BadImage(shard, fault) if fault else None)


def index_file(shard: str) -> str:
    """Where the index of a shard is kept: beside it, or in the cache."""
    beside = not is_remote(shard) and os.path.isfile(shard + INDEX)
    return shard + INDEX if beside else _cached(shard)


def shard_uris(pattern: str) -> list[str]:
    """The names of all images in shards.

    Args:
        pattern: As for `shard_names`.

    Raises:
        FileNotFoundError: There is none.
    """
    return some_uris(pattern, None)[1]


def some_uris(pattern: str, most: int | None) -> tuple[int, list[str]]:
    """The number of all images in shards, and the names of so many of them, drawn at random.

    Args:
        pattern: As for `shard_names`.
        most: How many are drawn where there are more; None for all.

    Raises:
        FileNotFoundError: There is none.
    """
    indexes = index_shards(shard_names(pattern))
    ends = np.cumsum([index.count for index in indexes])
    count = int(ends[-1])
    if not count:
        raise FileNotFoundError(no_image(indexes))
    places: Sequence[int] = range(count)
    if most is not None and most < count:
        places = sorted(random.Random(0).sample(places, most))
    return count, [uri_at(indexes, ends, place) for place in places]


def index_shards(shards: Sequence[str]) -> list[ShardIndex]:
    """The indexes of several shards, in their order."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(index_shard, shards))


def uri_at(indexes: Sequence[ShardIndex], ends: np.ndarray, place: int) -> str:
    """The name of the image at a place among all, whose counts add up to ``ends``."""
    owner = int(np.searchsorted(ends, place, side='right'))
    index = indexes[owner]
    return index.uri(place - int(ends[owner]) + index.count)


def no_image(indexes: Sequence[ShardIndex]) -> str:
    """The message where no shard has an image."""
    why = next((f'; {index.fault}' for index in indexes if index.fault), '')
    return f'no image in {len(indexes):,} shards, {indexes[0].shard!r} for one{why}'


def parse_uri(uri: str) -> tuple[str, int, int, int]:
    """Shard, offset and size in bytes, and checksum of an image that `ShardIndex.uri` named."""
    where, _, place = uri.rpartition('#')
    offset, size, check = place.split('+')
    shard = where.rpartition('::')[2].replace(':%2F%2F', '://').replace(':%3A', '::')
    return shard, int(offset), int(size), int(check, 16)


def _cached(shard: str) -> str:
    try:
        cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError:  # nobody's home
        cache = tempfile.gettempdir()
    key = hashlib.sha256(os.fsencode(shard if is_remote(shard) else os.path.abspath(shard)))
    return str(Path(cache, 'wamim_mm', 'shards', key.hexdigest()[:32] + INDEX))


def _dtype(longest: int) -> np.dtype:
    return np.dtype(
        [
            ('name', f'S{longest}'),
            ('offset', '<u8'),
            ('size', '<u8'),
            ('label', '<i8'),
            ('check', '<u4'),
        ]
    )


def _load(file: str, size: int, newer_than: int | None) -> np.ndarray | None:
    """The records in a file, if they are of a shard of that size that is not newer (ns).

    One more than there are images: it has the size, and what is wrong with the shard as its name.
    """
    try:
        if newer_than is not None and os.stat(file).st_mtime_ns < newer_than:
            return None
        records = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(records, np.ndarray):
        return None
    of_it = records.dtype.names == _dtype(1).names and records.ndim == 1 and len(records)
    return records if of_it and int(records[-1]['offset']) == size else None


def _keep(shard: str, elsewhere: str, records: np.ndarray) -> None:
    """Write an index beside its shard or, where that cannot be, elsewhere."""
    save = partial(np.save, arr=records, allow_pickle=False)
    if not is_remote(shard):
        with suppress(OSError):
            write_whole(shard + INDEX, save)
            return
    try:
        write_whole(elsewhere, save)
    except OSError as error:  # it is made anew at the next start
        warnings.warn(f'the index of {shard} cannot be kept: {error}', stacklevel=1)


def _scan(shard: str, size: int) -> np.ndarray:
    """Read the headers of a shard, and the labels; the bodies of images are passed over."""
    if is_remote(shard):
        _check_start(read_part(shard, 0, 2) if size else b'')
        # Each header is asked for by itself: the images between them are larger.
        return read_through(shard, 16 * BLOCK, partial(_scan_file, size=size))
    with open(shard, 'rb') as file:
        _check_start(file.read(2))
        file.seek(0)
        return _scan_file(file, size)


def _follow(
    name: str, links: dict[str, str], places: dict[str, tuple[int, int, int]]
) -> tuple[int, int, int] | None:
    """Where the image is that a link leads to; None where it is not in the shard."""
    for _ in range(LINKS):
        if name in places:
            return places[name]
        name = links.get(name, '')
    return None


def _check_start(start: bytes) -> None:
    if start == b'\x1f\x8b':
        raise OSError('it is compressed, so that no part can be read by itself; unpack the .gz')


def _scan_file(file: BinaryIO, size: int) -> np.ndarray:
    found: list[tuple[str, int, int, int]] = []
    links: dict[str, str] = {}
    labels: dict[str, int] = {}
    whole = False
    with tarfile.open(fileobj=file, mode='r:') as tar:
        try:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                path = PurePosixPath(member.name)
                image = path.suffix.lower() in SUFFIXES and not path.name.startswith('.')
                if image and (member.islnk() or member.issym()):
                    folder = '' if member.islnk() else path.parent
                    links[normpath(member.name)] = normpath(join(folder, member.linkname))
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > size:
                    break
                if image:
                    file.seek(member.offset_data - BLOCK)
                    check = zlib.crc32(file.read(BLOCK))
                    name = member.name.removeprefix('./')
                    found.append((name, member.offset_data, member.size, check))
                elif path.suffix == '.cls' and member.size < 32:
                    file.seek(member.offset_data)
                    given = file.read(member.size).strip()
                    if given.isdigit() and int(given) <= LARGEST_LABEL:
                        key, label = str(path.with_suffix('')), int(given)
                        labels[key] = label if labels.get(key, label) == label else TWO_LABELS
            else:
                # At some damaged headers the module stops as it does at the end. That is a block
                # of zeros, and no more than a record of them.
                file.seek(tar.offset)
                end = file.read(LARGEST_RECORD)
                whole = BLOCK <= len(end) < LARGEST_RECORD and not any(end)
        except tarfile.TarError:
            pass
    fault = '' if whole else f'is cut off or damaged after {len(found):,} images'
    places = {}
    if links:
        places = {normpath(name): (start, length, check) for name, start, length, check in found}
    lost = 0
    for name in links:
        place = _follow(name, links, places)
        lost += place is None
        found += [] if place is None else [(name, *place)]
    fault = fault or (f'has {lost:,} links to what is no image in it' if lost else '')
    names = [os.fsencode(name) for name, *_ in found]
    records = np.zeros(len(found) + 1, _dtype(max(map(len, [*names, fault, b'1']))))
    for record, encoded, (name, offset, length, check) in zip(records, names, found, strict=False):
        label = labels.get(str(PurePosixPath(name).with_suffix('')), -1)
        record['name'], record['label'], record['check'] = encoded, label, check
        record['offset'], record['size'] = offset, length
    records[-1]['name'], records[-1]['offset'] = fault.encode(), size
    return records
