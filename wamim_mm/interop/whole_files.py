"""A file is whole or not there, as checkpoints, configs, indices and vectors have to be."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: str | os.PathLike, write: Callable[[Any], object]) -> None:
    """Write a file beside its place, wait for the disk, then put it in its place.

    Args:
        path: The file. Until the new one is whole, one that is there stays as it is.
        write: Writes to an open binary file.

    Raises:
        OSError: It cannot be written; the message says what is needed and what is free.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with beside.open('wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system syncs folders
            os.fsync(folder)
    finally:
        os.close(folder)
