"""Bad images of a training set: what is wrong with one, and the list of them in the work dir."""

import fcntl
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from mmengine import fileio

__all__ = ['BadFiles', 'BadImage', 'find_fault']


class BadImage(ValueError):
    """An image cannot be loaded, and its file is at fault.

    Args:
        path: The file.
        reason: What is wrong with it, a sentence whose subject is the file.

    Attributes:
        path: The file.
        reason: The same, in one line.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, ' '.join(reason.split())

    def __str__(self) -> str:
        return f'{self.path!r} {self.reason}'


class BadFiles:
    r"""The list of a run's bad files, each of them once, whichever process finds it.

    A line is the file's path, a tab and what is wrong. Backslash, tab and line break in a path are
    written as ``\\``, ``\t``, ``\n`` and ``\r``; bytes that are no UTF-8 stay as they are.

    Args:
        path: The list's own file; written when there is something to list.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known: set[bytes] = set()
        self._read = 0

    def add(self, bad: BadImage) -> None:
        """List a file, unless it is there.

        Raises:
            OSError: The list cannot be written.
        """
        name = bad.path.encode(errors='surrogateescape')
        for byte, written in ((b'\\', b'\\\\'), (b'\t', b'\\t'), (b'\n', b'\\n'), (b'\r', b'\\r')):
            name = name.replace(byte, written)
        if name in self._known:
            return
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, 'ab') as file:
            with suppress(OSError):  # a file system without locks: a file may be listed twice
                fcntl.flock(file, fcntl.LOCK_EX)
            self._read_on()
            if name not in self._known:
                file.write(name + b'\t' + bad.reason.encode(errors='surrogateescape') + b'\n')

    def __len__(self) -> int:
        """The number of files that are listed by now."""
        with suppress(FileNotFoundError):
            self._read_on()
        return len(self._known)

    def _read_on(self) -> None:
        with open(self.path, 'rb') as file:
            file.seek(self._read)
            for line in file:
                if line.endswith(b'\n'):  # else it is being written
                    self._read += len(line)
                    self._known.add(line.split(b'\t')[0])


def find_fault(path: str, backend_args: dict | None = None) -> BadImage | None:
    """What is wrong with an image or a label map on which a loader of the libraries has failed.

    Args:
        path: The file.
        backend_args: Where it comes from, see `mmengine.fileio.get`.

    Returns:
        None if OpenCV, with which these loaders decode, can decode it.
    """
    try:
        data = fileio.get(path, backend_args=backend_args)
        if cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is None:
            return BadImage(path, 'is no image: OpenCV cannot read it')
    except OSError as error:
        return BadImage(path, f'cannot be read: {error.strerror or error}')
    except cv2.error as error:
        return BadImage(path, f'is no image: {error}')
    return None
