"""Images in tar shards, read in place: nothing is unpacked, and any image is read by itself.

An index says where the images of a shard are. It lies beside the shard, or in a cache where that
place cannot be written to. So shards are read as a folder is, in any order and from any place in an
epoch. Bytes come from the disk or, by `fsspec`, from whatever it reads, http and s3 for example.

An image is named as fsspec names it, and by its first byte, its size and a checksum:
``tar://n01440764/1.jpg::/data/000.tar#1536+110231+9c0e2f71``, the last being a checksum of its
header, so that another shard under the same name is noticed.
"""

import hashlib
import os
import random
import tarfile
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from braceexpand import braceexpand
from fsspec.core import url_to_fs
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import register_backend
from mmengine.fileio.backends import BaseStorageBackend
from mmengine.logging import MMLogger
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..image_suffixes import SUFFIXES
from ..interop.saving import write_whole
from .bad_files import BadImage
from .classes import inner

__all__ = [
    'ShardBackend',
    'ShardDataset',
    'check_shards',
    'index_shard',
    'shard_names',
    'shard_uris',
    'some_uris',
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
#: Bytes of zeros at the end of a shard; more are a download that has stopped.
LARGEST_RECORD = 1 << 20
#: Seconds between two questions to a storage that does not answer.
WAITS = (0.5, 2, 5)
#: Shards that a process keeps open.
OPEN = 256

#: Bytes of the images that are loaded next, by their names; or why they could not be read.
_fetched: dict[str, bytes | BaseException] = {}


def shard_names(pattern: str) -> list[str]:
    """The shards that a pattern means, in order.

    Args:
        pattern: Paths or addresses, with ``{000..999}`` and ``{a,b}`` as in shells, and ``*``; or a
            folder, for its ``*.tar``.

    Raises:
        FileNotFoundError: There is none in a folder, or for a ``*``.
        ImportError: fsspec lacks what it needs for such an address.
        ValueError: The writing of the shards in the folder was stopped.
    """
    if '://' not in pattern and Path(pattern).is_file():
        return [pattern]
    if '://' not in pattern and Path(pattern).is_dir():
        if Path(pattern, UNFINISHED).is_file():
            raise ValueError(
                f'the shards in {pattern} are not all written: wamim shards DIR {pattern} goes on'
            )
        found = [entry.path for entry in os.scandir(pattern) if entry.name.lower().endswith('.tar')]
        if not found:
            raise FileNotFoundError(f'no .tar file in {pattern!r}; give a folder with some')
        return sorted(found)
    names = []
    for name in braceexpand(pattern):
        if '*' not in name:
            names.append(name)
            continue
        system, path = url_to_fs(name)
        found = sorted(map(str, system.glob(path)))
        if not found:
            raise FileNotFoundError(
                f'no shard at {name!r}; give a folder with .tar files, or their names, such as '
                "'DIR/{000..999}.tar'"
            )
        names += map(system.unstrip_protocol, found) if _remote(name) else found
    return names


@dataclass(frozen=True)
class ShardIndex:
    """Where the images of a shard are.

    Attributes:
        shard: Its name.
        records: Of its images: ``name`` in the shard, ``offset`` of the first byte, ``size`` in
            bytes, ``label``, the number in the member of the same name that ends in ``.cls``, or
            -1, and ``check``, the CRC-32 of its header.
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
        # MMEngine wants one '://' in a name.
        shard = self.shard.replace('://', ':%2F%2F')
        bytes_of_it = f'{record["offset"]}+{record["size"]}+{record["check"]:08x}'
        return f'tar://{name.replace("://", ":/")}::{shard}#{bytes_of_it}'


def index_shard(shard: str) -> ShardIndex:
    """The index of a shard, made where there is none.

    A shard that is cut off or damaged has the images before that place.
    """
    try:
        size = _size(shard)
        changed = None if _remote(shard) else os.stat(shard).st_mtime_ns
        kept = _cached(shard)
        places = (kept,) if _remote(shard) else (shard + INDEX, kept)
        loaded = (_load(place, size, changed) for place in places)
        records = next((found for found in loaded if found is not None), None)
        if records is None and _remote(shard):
            with suppress(OSError):  # most shards have none
                content = _content(shard + INDEX)
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
    indexes = _indexes(shard_names(pattern))
    ends = np.cumsum([index.count for index in indexes])
    count = int(ends[-1])
    if not count:
        raise FileNotFoundError(_no_image(indexes))
    places: Sequence[int] = range(count)
    if most is not None and most < count:
        places = sorted(random.Random(0).sample(places, most))
    return count, [_uri_at(indexes, ends, place) for place in places]


@register_backend('tar', prefixes='tar')
class ShardBackend(BaseStorageBackend):
    """MMEngine's way to the images in shards: every transform that loads files reads them."""

    def get(self, filepath: str) -> bytes:
        """An image's bytes.

        Args:
            filepath: As `ShardIndex.uri` gives it.

        Raises:
            OSError: They cannot be read, or the shard is not the one that the index is of.
        """
        shard, offset, size, check = _parsed(filepath)
        data = _fetched.pop(filepath, None)
        if not isinstance(data, bytes):  # what has failed among many is tried once more
            data = _read(shard, offset - BLOCK, offset + size)
        header, content = data[:BLOCK], data[BLOCK:]
        if zlib.crc32(header) != check or len(content) != size:
            raise OSError(f'{shard} has changed since it was indexed; remove {shard}{INDEX}')
        return content

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """The same as text."""
        return self.get(filepath).decode(encoding)


@DATASETS.register_module()
class ShardDataset(BaseDataset):
    """Images in tar shards, as ``CustomDataset`` has those in a folder.

    What no ``.tar`` of the pattern holds, or cannot be read, is counted, listed in ``bad_shards``
    and left out. With the samplers of MMEngine every order is one of all images, whatever shard
    they are in. A process needs about 60 bytes of memory for each image, which its workers share.

    Args:
        shards: Paths or addresses of the shards, see `shard_names`.
        pipeline: Transforms of a sample; it starts with ``img_path``, and ``gt_label`` where there
            are labels.
        with_label: Whether samples have labels: the numbers in the shards' ``.cls`` members or,
            where there are none, the place of the first folder of their names among all.
        test_mode: As for MMEngine's ``BaseDataset``.
        metainfo: Likewise.

    Attributes:
        shard_count: How many shards there should be.
        bad_shards: What is wrong with shards, one a shard.

    Raises:
        FileNotFoundError: There is no shard, or no image in the shards.
        ImportError: fsspec lacks what it needs for such an address.
        ValueError: Labels are asked for, and some images have none.
    """

    def __init__(
        self,
        shards: str,
        pipeline: Sequence = (),
        with_label: bool = False,
        test_mode: bool = False,
        metainfo: dict | None = None,
    ) -> None:
        self.shards = shards
        self.with_label = with_label
        self.bad_shards: list[BadImage] = []
        super().__init__(
            ann_file='', pipeline=pipeline, test_mode=test_mode, metainfo=metainfo, lazy_init=True
        )
        self.full_init()

    def full_init(self) -> None:
        """Read the indexes; the first process makes those that are missing."""
        if getattr(self, '_indexes', None):
            return
        names = shard_names(self.shards)
        if not is_main_process():
            barrier()
        try:
            found = _indexes(names)
        finally:
            if is_main_process():
                barrier()
        self.shard_count = len(names)
        self.bad_shards = [index.fault for index in found if index.fault]
        self._indexes = [index for index in found if index.count]
        if not self._indexes:
            raise FileNotFoundError(_no_image(found))
        self._ends = np.cumsum([index.count for index in self._indexes])
        if self.with_label:
            self._labels = self._read_labels()
        self._fully_initialized = True
        bad = f'; {len(self.bad_shards):,} are bad: {self.bad_shards[0]}' if self.bad_shards else ''
        MMLogger.get_current_instance().info(f'{len(self):,} images in {len(names):,} shards{bad}')

    def __len__(self) -> int:
        """The number of images."""
        return int(self._ends[-1])

    def get_data_info(self, idx: int) -> dict:
        """The sample before its pipeline."""
        info = dict(img_path=self._uri(idx), sample_idx=idx)
        if self.with_label:
            info['gt_label'] = int(self._labels[idx])
        return info

    def get_gt_labels(self) -> np.ndarray:
        """All labels, ``(len(self),)``."""
        return self._labels

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label of one sample, in a list."""
        return [int(self._labels[idx])]

    def fetch(self, indices: Sequence[int]) -> None:
        """Ask for the bytes of several images at once where they come over a network.

        Args:
            indices: Of the samples, which are loaded next.
        """
        _fetched.clear()
        uris = [self._uri(int(index)) for index in indices]
        places = [(uri, *_parsed(uri)) for uri in uris]
        places = [place for place in places if _remote(place[1])]
        if not places:
            return
        names, shards, offsets, sizes, _ = zip(*places, strict=True)
        system, _ = url_to_fs(shards[0])
        starts = [offset - BLOCK for offset in offsets]
        ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
        paths = [system._strip_protocol(shard) for shard in shards]
        found = system.cat_ranges(paths, starts, ends, on_error='return')
        _fetched.update(zip(names, found, strict=True))

    def _uri(self, idx: int) -> str:
        return _uri_at(self._indexes, self._ends, range(len(self))[idx])

    def _read_labels(self) -> np.ndarray:
        """Labels of all images; they say the names of the classes too, unless those are known."""
        given = np.concatenate([index.records['label'] for index in self._indexes])
        if (given >= 0).all():
            classes = self._metainfo.setdefault('classes', tuple(map(str, range(given.max() + 1))))
            if given.max() >= len(classes):
                raise ValueError(
                    f'{self.shards!r} has the label {given.max()}, and there are {len(classes)} '
                    f'classes: labels are 0 to {len(classes) - 1}'
                )
            return given.astype(np.int64)
        if (given >= 0).any():
            raise ValueError(
                f'{int((given < 0).sum()):,} images of {self.shards!r} have no .cls member, and '
                f'{int((given >= 0).sum()):,} have one; write the shards anew'
            )
        folders = [
            name.decode(errors='surrogateescape').partition('/')[::2]
            for index in self._indexes
            for name in index.records['name']
        ]
        classes = sorted({folder for folder, rest in folders if rest})
        if len(classes) < 2 or not all(rest for _, rest in folders):
            raise ValueError(
                f'the images of {self.shards!r} have no labels: neither .cls members nor names '
                'that begin with the folder of their class'
            )
        classes = list(self._metainfo.setdefault('classes', tuple(classes)))
        places = {name: place for place, name in enumerate(classes)}
        unknown = sorted({folder for folder, _ in folders} - places.keys())
        if unknown:
            raise ValueError(
                f'{self.shards!r} has the class {unknown[0]!r}, which is none of the '
                f'{len(classes)} that the training set has'
            )
        return np.array([places[folder] for folder, _ in folders], np.int64)


def check_shards(dataset: Any, max_bad_share: float) -> None:
    """Raise ValueError where a larger share of a data set's shards, 0 to 1, is bad.

    Args:
        dataset: A built data set, or a wrapper of some; others than `ShardDataset` are passed over.
        max_bad_share: Up to which share they are left out.
    """
    for part in inner(dataset):
        if not isinstance(part, ShardDataset):
            continue
        bad, count = part.bad_shards, part.shard_count
        if len(bad) > max_bad_share * count:
            raise ValueError(
                f'{len(bad):,} of {count:,} shards are bad, more than {max_bad_share:.0%}; the '
                f'first: {bad[0]}; mend them, or allow more with --max-bad-share'
            )


def _indexes(shards: Sequence[str]) -> list[ShardIndex]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(index_shard, shards))


def _uri_at(indexes: Sequence[ShardIndex], ends: np.ndarray, place: int) -> str:
    """The name of the image at a place among all, whose counts add up to ``ends``."""
    owner = int(np.searchsorted(ends, place, side='right'))
    index = indexes[owner]
    return index.uri(place - int(ends[owner]) + index.count)


def _no_image(indexes: Sequence[ShardIndex]) -> str:
    why = next((f'; {index.fault}' for index in indexes if index.fault), '')
    return f'no image in {len(indexes):,} shards, {indexes[0].shard!r} for one{why}'


def _remote(name: str) -> bool:
    return '://' in name


def _parsed(uri: str) -> tuple[str, int, int, int]:
    """Shard, offset, size and checksum that a name means."""
    where, _, place = uri.rpartition('#')
    offset, size, check = place.split('+')
    shard = where.rpartition('::')[2].replace(':%2F%2F', '://')
    return shard, int(offset), int(size), int(check, 16)


def _asked(what: Callable[[], Any]) -> Any:
    """What a storage answers, which is asked again where the network or the storage fails.

    Raises:
        OSError: It does not answer, or there is no such file.
    """
    for wait in (*WAITS, None):
        try:
            return what()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # libraries for storages have errors of their own
            if wait is None:
                raise OSError(f'{type(error).__name__}: {error}') from error
            time.sleep(wait)


def _size(shard: str) -> int:
    if not _remote(shard):
        return os.stat(shard).st_size
    system, path = url_to_fs(shard)
    size = _asked(lambda: system.size(path))
    if size is None:
        raise OSError('the server does not say how large it is, so that parts cannot be read')
    return size


@lru_cache(OPEN)
def _open_shard(shard: str) -> BinaryIO:
    return open(shard, 'rb', buffering=0)


def _read(shard: str, start: int, end: int) -> bytes:
    """Some bytes of a shard; fewer where it is shorter."""
    if _remote(shard):
        system, path = url_to_fs(shard)
        data = _asked(lambda: system.cat_file(path, start, end))
        if len(data) > end - start:
            raise OSError('the server gives whole files and no parts of them (HTTP Range)')
        return data
    file = _open_shard(shard)  # held while it is read: another thread's may be the one that is kept
    # No position is kept: processes that were forked share it.
    return os.pread(file.fileno(), end - start, start)


def _content(name: str) -> bytes:
    system, path = url_to_fs(name)
    return _asked(lambda: system.cat_file(path))


def _cached(shard: str) -> str:
    try:
        cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError:  # nobody's home
        cache = tempfile.gettempdir()
    key = hashlib.sha256(os.fsencode(shard if _remote(shard) else os.path.abspath(shard)))
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
    if not _remote(shard):
        with suppress(OSError):
            write_whole(shard + INDEX, save)
            return
    try:
        write_whole(elsewhere, save)
    except OSError as error:  # it is made anew at the next start
        warnings.warn(f'the index of {shard} cannot be kept: {error}', stacklevel=1)


def _scan(shard: str, size: int) -> np.ndarray:
    """Read the headers of a shard, and the labels; the bodies of images are passed over."""
    if _remote(shard):
        # Each header is asked for by itself: the images between them are larger.
        system, path = url_to_fs(shard)
        with system.open(path, 'rb', cache_type='readahead', block_size=16 * BLOCK) as file:
            return _scan_file(file, size)
    with open(shard, 'rb') as file:
        return _scan_file(file, size)


def _scan_file(file: BinaryIO, size: int) -> np.ndarray:
    found: list[tuple[str, int, int, int]] = []
    labels: dict[str, int] = {}
    whole = False
    if file.read(2) == b'\x1f\x8b':
        raise OSError('it is compressed, so that no part can be read by itself; unpack the .gz')
    file.seek(0)
    with tarfile.open(fileobj=file, mode='r:') as tar:
        try:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > size:
                    break
                path = PurePosixPath(member.name)
                if path.suffix.lower() in SUFFIXES and not path.name.startswith('.'):
                    file.seek(member.offset_data - BLOCK)
                    check = zlib.crc32(file.read(BLOCK))
                    name = member.name.removeprefix('./')
                    found.append((name, member.offset_data, member.size, check))
                elif path.suffix == '.cls' and member.size < 32:
                    file.seek(member.offset_data)
                    given = file.read(member.size).strip()
                    if given.isdigit() and int(given) <= LARGEST_LABEL:
                        labels[str(path.with_suffix(''))] = int(given)
            else:
                # At some damaged headers the module stops as it does at the end. That is a block
                # of zeros, and no more than a record of them.
                file.seek(tar.offset)
                end = file.read(LARGEST_RECORD)
                whole = BLOCK <= len(end) < LARGEST_RECORD and not any(end)
        except tarfile.TarError:
            pass
    fault = '' if whole else f'is cut off or damaged after {len(found):,} images'
    names = [os.fsencode(name) for name, *_ in found]
    records = np.zeros(len(found) + 1, _dtype(max(map(len, [*names, fault, b'1']))))
    for record, encoded, (name, offset, length, check) in zip(records, names, found, strict=False):
        label = labels.get(str(PurePosixPath(name).with_suffix('')), -1)
        record['name'], record['label'], record['check'] = encoded, label, check
        record['offset'], record['size'] = offset, length
    records[-1]['name'], records[-1]['offset'] = fault.encode(), size
    return records
