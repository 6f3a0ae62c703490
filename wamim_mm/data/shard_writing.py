"""Write images into tar shards: in parallel, each shard whole or not at all, and read back."""

import fcntl
import hashlib
import io
import json
import os
import random
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .shard_index import INDEX, UNFINISHED, index_shard

__all__ = ['Written', 'write_shards']

#: Of the images in a shard: few enough to copy again, many enough for a file system to be happy.
SHARD_BYTES = 500_000_000
#: Says what the shards are made of, once all are written; other images are refused.
PLAN = 'plan.json'
#: Who writes holds it.
LOCK = '.writing'
#: Ends the name of a shard that is being written.
PARTIAL = '.partial'


class Written(NamedTuple):
    """What has become of a shard.

    Attributes:
        shard: Its file.
        images: How many are in it.
        skipped: Images that could not be read, and why.
        new: False where it was there already.
    """

    shard: Path
    images: int
    skipped: list[str]
    new: bool


def write_shards(
    root: Path,
    names: Sequence[str],
    out: Path,
    threads: int,
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[Written]:
    """Write images into ``out/000000.tar`` and so on, and yield each shard when it is done.

    The images are in random order, the same for the same images, so that each shard is a sample of
    all. Shards that an earlier call has finished are kept, with all of their images, none of which
    has changed since.

    Args:
        root: A folder.
        names: Images under it; the members' names.
        out: The folder for the shards.
        threads: How many write at a time.
        shard_bytes: Of the images in a shard, about.

    Raises:
        OSError: A shard cannot be written.
        ValueError: ``out`` has shards of other images, or what was read back is not what was
            written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open(out / LOCK, 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f'another wamim shards writes to {out}; wait for its end') from None
        yield from _write_all(_plan(root, names, out, shard_bytes), root, out, threads)


def _write_all(shards: list[list[str]], root: Path, out: Path, threads: int) -> Iterator[Written]:
    for partial in out.glob(f'*{PARTIAL}'):
        partial.unlink()  # of a call that was stopped
    jobs = [(root, some, out / f'{number:06}.tar') for number, some in enumerate(shards)]
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(_write_shard, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
    if (out / UNFINISHED).is_file():
        os.replace(out / UNFINISHED, out / PLAN)


def _plan(root: Path, names: Sequence[str], out: Path, shard_bytes: int) -> list[list[str]]:
    """The images of each shard, the same as in an earlier call.

    Raises:
        ValueError: That one had other images.
    """
    sizes = {name: os.stat(root / name).st_size for name in sorted(names)}
    digest = hashlib.sha256(json.dumps([sizes, shard_bytes]).encode()).hexdigest()
    plan = dict(images=len(sizes), bytes=sum(sizes.values()), digest=digest)
    file = next((out / name for name in (PLAN, UNFINISHED) if (out / name).is_file()), None)
    if file is not None:
        before = json.loads(file.read_text())
        if before != plan:
            raise ValueError(
                f'{out} has shards of {before["images"]:,} images of {before["bytes"]:,} bytes, '
                f'and {root} now has {plan["images"]:,} of {plan["bytes"]:,}: choose another '
                'folder, or remove this one'
            )
    else:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.glob('*.tar')):
            raise ValueError(f'{out} has .tar files of somebody else; choose another folder')
        (out / UNFINISHED).write_text(json.dumps(plan))
    order = list(sizes)
    random.Random(0).shuffle(order)
    shards: list[list[str]] = [[]]
    filled = 0
    for name in order:
        if shards[-1] and filled + sizes[name] > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += sizes[name]
    return shards


def _write_shard(root: Path, names: list[str], shard: Path) -> Written:
    if shard.is_file() and not _changed(root, names, shard):
        index = index_shard(str(shard))
        if index.fault is None and index.count == len(names):
            return Written(shard, index.count, [], False)
    partial = shard.with_name(shard.name + PARTIAL)
    sums: dict[str, int] = {}
    skipped = []
    try:
        with open(partial, 'wb') as file:
            begun = os.fstat(file.fileno()).st_mtime_ns
            with tarfile.open(fileobj=file, mode='w', format=tarfile.PAX_FORMAT) as tar:
                for name in names:
                    try:
                        data = (root / name).read_bytes()
                    except (FileNotFoundError, PermissionError) as error:  # not a failing storage
                        skipped.append(f'{name}: {error.strerror or error}')
                        continue
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    sums[name] = zlib.crc32(data)
            file.flush()
            os.fsync(file.fileno())
        _check(partial, sums)
        os.utime(partial, ns=(begun, begun))  # what changes from there on is newer
        os.replace(partial, shard)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return Written(shard, index_shard(str(shard)).count, skipped, True)


def _changed(root: Path, names: list[str], shard: Path) -> bool:
    """Whether one of the images is newer than the shard, by the time that no copying sets."""
    written = shard.stat().st_mtime_ns
    with suppress(OSError):
        return any(os.stat(root / name).st_ctime_ns > written for name in names)
    return True


def _check(partial: Path, sums: dict[str, int]) -> None:
    """Raise ValueError unless every image can be read back from the disk as it was."""
    index = index_shard(str(partial))
    try:
        found = {}
        with open(partial, 'rb') as file:
            # Else what is read is the copy in memory.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for record in np.asarray(index.records):
                file.seek(int(record['offset']))
                name = record['name'].decode(errors='surrogateescape')
                found[name] = zlib.crc32(file.read(int(record['size'])))
    finally:
        Path(f'{partial}{INDEX}').unlink(missing_ok=True)
    if found != sums or index.fault:
        raise ValueError(f'{partial}: what was read back is not what was written; try another disk')
