"""A folder is listed once, whatever links lead to it.

MMEngine follows a link that leads up until the system refuses, at the fortieth, and no run starts;
it does not start either where a link leads to itself.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any


def walk(folder: str | os.PathLike) -> Iterator[os.DirEntry]:
    """What is in a folder and in those under it, links followed, each folder once.

    As for MMEngine, files whose names begin with a dot are not there, such as the ``._x.jpg`` of
    macOS.

    Raises:
        OSError: A folder cannot be read.
    """
    try:
        yield from _walk(folder)
    except PermissionError as error:
        text = f'{error.strerror}; make this folder readable, or move it out of {folder}'
        raise PermissionError(error.errno, text, error.filename) from None


def _walk(folder: str | os.PathLike) -> Iterator[os.DirEntry]:
    seen, waiting = set(), [os.fspath(folder)]
    while waiting:
        here = waiting.pop()
        if os.path.realpath(here) in seen:
            continue
        seen.add(os.path.realpath(here))
        with os.scandir(here) as entries:
            # In order, so that on every machine the same of several links to a folder counts.
            for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                if is_one(entry.is_dir):
                    waiting.append(entry.path)
                    yield entry
                elif not entry.name.startswith('.'):
                    yield entry


def is_one(test: Callable[[], bool]) -> bool:
    """Whether an entry is a file, or a folder; a link that leads to itself is neither."""
    try:
        return test()
    except OSError:
        return False


def _once(list_dir_or_file: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
    """MMEngine's method, for listing the files under a folder."""

    @functools.wraps(list_dir_or_file)
    def listed(
        backend: Any,
        dir_path: str,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        theirs = list_dir_or_file(backend, dir_path, list_dir, list_file, suffix, recursive)
        if list_dir or not recursive:
            return theirs
        return (
            os.path.relpath(entry.path, dir_path)
            for entry in walk(dir_path)
            if is_one(entry.is_file) and (suffix is None or entry.name.endswith(suffix))
        )

    return listed


def install() -> None:
    """Let MMEngine list local folders so; calling it again is harmless."""
    from mmengine.fileio.backends.local_backend import LocalBackend

    if not hasattr(LocalBackend.list_dir_or_file, '__wrapped__'):
        LocalBackend.list_dir_or_file = _once(LocalBackend.list_dir_or_file)
