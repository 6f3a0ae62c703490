"""Images in tar shards, read in place: nothing is unpacked, and any image is read by itself.

So shards are read as a folder is, in any order and from any place in an epoch. Bytes come from the
disk or, by `fsspec`, from whatever it reads, http and s3 for example.
"""

import hashlib
import os
import socket
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
from mmengine.dist import is_distributed, is_main_process
from mmengine.fileio import register_backend
from mmengine.fileio.backends import BaseStorageBackend
from mmengine.logging import MMLogger
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS
from torch.distributed.distributed_c10d import _get_default_store

from .bad_files import BadImage
from .classes import inner
from .shard_index import (
    BLOCK,
    TWO_LABELS,
    index_file,
    index_shards,
    no_image,
    parse_uri,
    shard_names,
    uri_at,
)
from .storage import is_remote, read_part, read_parts

__all__ = ['ShardBackend', 'ShardDataset', 'check_shards']

#: For the index of what may be a billion images; a process that fails ends the others.
LONGEST_WAIT = timedelta(days=7)
#: Bytes of the images that are loaded next, by their names; or why they could not be read.
_fetched: dict[str, bytes | BaseException] = {}


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
        shard, offset, size, check = parse_uri(filepath)
        data = _fetched.pop(filepath, None)
        if not isinstance(data, bytes):  # what has failed among many is tried once more
            data = read_part(shard, offset - BLOCK, offset + size)
        header, content = data[:BLOCK], data[BLOCK:]
        if zlib.crc32(header) != check or len(content) != size:
            raise OSError(f'{shard} has changed since it was indexed; remove {index_file(shard)}')
        return content

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """The same as text."""
        return self.get(filepath).decode(encoding)


@contextmanager
def _in_turn(what: str) -> Iterator[None]:
    """Let the first process do it, then the first one of each machine, then all others.

    Not by barriers: what comes from the network may take longer than a collective call may.
    """
    if not is_distributed():
        yield
        return
    store = _get_default_store()
    done = f'wamim_mm/{hashlib.sha256(what.encode()).hexdigest()}'
    done_here = f'{done}/{socket.gethostname()}'
    after, before = [done_here], []
    if os.environ.get('LOCAL_RANK', '0') == '0':
        after, before = [done], [done_here]
    if is_main_process():
        after, before = [], [done, done_here]
    if after:
        store.wait(after, LONGEST_WAIT)
    try:
        yield
    finally:
        for key in before:
            store.set(key, '')


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
        """Read the indexes; the first process of each machine makes those that are missing."""
        if getattr(self, '_indexes', None):
            return
        names = shard_names(self.shards)
        with _in_turn('\n'.join(names)):
            found = index_shards(names)
        self.shard_count = len(names)
        self.bad_shards = [index.fault for index in found if index.fault]
        self._indexes = [index for index in found if index.count]
        if not self._indexes:
            raise FileNotFoundError(no_image(found))
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
        places = [(uri, *parse_uri(uri)) for uri in uris]
        places = [place for place in places if is_remote(place[1])]
        if not places:
            return
        names, shards, offsets, sizes, _ = zip(*places, strict=True)
        starts = [offset - BLOCK for offset in offsets]
        ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
        found = read_parts(shards, starts, ends)
        _fetched.update(zip(names, found, strict=True))

    def _uri(self, idx: int) -> str:
        return uri_at(self._indexes, self._ends, range(len(self))[idx])

    def _read_labels(self) -> np.ndarray:
        """Labels of all images; they say the names of the classes too, unless those are known."""
        given = np.concatenate([index.records['label'] for index in self._indexes])
        if (given == TWO_LABELS).any():
            first = int((given == TWO_LABELS).argmax())
            raise ValueError(
                f'{self._uri(first)!r} has several labels, in .cls members of one name; give each '
                'image of a shard a name of its own'
            )
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
