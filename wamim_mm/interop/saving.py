"""A checkpoint is whole or not there, and the latest whole one is found without a pointer.

MMEngine writes a checkpoint, and the config beside it, in place and without waiting for the disk: a
process that is killed meanwhile leaves a torn file under its final name. To find the latest one, it
trusts a file with an absolute path. And training waits until the file is written.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from .whole_files import write_whole

POINTER = 'last_checkpoint'
_background: ThreadPoolExecutor
_gathered: list[list[tuple[dict, str]]] = []


def _new_thread() -> None:
    global _background
    _background = ThreadPoolExecutor(1, 'checkpoints')


_new_thread()
os.register_at_fork(after_in_child=_new_thread)  # threads stay with the parent


def in_background(function: Callable[..., Any], *args: Any) -> Future:
    """Call a function in the one thread that writes checkpoints, after all calls before.

    Python waits for it when it ends.
    """
    return _background.submit(function, *args)


def remove_torn(folder: str | os.PathLike) -> None:
    """Remove what killed processes have left of checkpoints that they were writing."""
    for path in Path(folder).glob('.*.pth.*'):
        if path.suffix[1:].isdecimal():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def gathered(files: list[tuple[dict, str]]) -> Iterator[None]:
    """Meanwhile `save_checkpoint` writes no local file, but leaves a copy of it in this list."""
    _gathered.append(files)
    try:
        yield
    finally:
        _gathered.pop()


def write_checkpoint(checkpoint: dict, filename: str) -> None:
    """Write a local checkpoint whole.

    Raises:
        OSError: It cannot be written; the message says what is needed and what is free.
    """
    try:
        write_whole(filename, lambda file: torch.save(checkpoint, file))
    except OSError as error:
        folder = Path(filename).absolute().parent
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
        raise OSError(
            error.errno,
            f'{filename} was not saved ({error.strerror or error}): it takes '
            f'{_size(checkpoint) / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free there',
        ) from error


def _size(content: Any) -> int:
    """Bytes of all tensors, each storage once."""
    storages: dict[int, int] = {}

    def visit(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            storage = part.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(part, dict | list | tuple):
            for inner in part.values() if isinstance(part, dict) else part:
                visit(inner)

    visit(content)
    return sum(storages.values())


def _on_cpu(content: Any) -> Any:
    from mmengine.utils import apply_to

    return apply_to(content, lambda part: isinstance(part, torch.Tensor), torch.Tensor.cpu)


def _save_checkpoint(save: Callable[..., None]) -> Callable[..., None]:
    """MMEngine's function, which writes local files whole."""

    @functools.wraps(save)
    def saved(checkpoint: dict, filename: str, file_client_args=None, backend_args=None) -> None:
        if 'optimizer' in checkpoint:  # a Runner brings it on the CPU, strategies do not
            checkpoint = dict(checkpoint, optimizer=_on_cpu(checkpoint['optimizer']))
        if '://' in str(filename) or file_client_args is not None or backend_args is not None:
            save(checkpoint, filename, file_client_args, backend_args)
        elif _gathered:
            # The next steps change tensors that were on the CPU before.
            _gathered[-1].append((copy.deepcopy(checkpoint), filename))
        else:
            in_background(write_checkpoint, checkpoint, filename).result()

    return saved


def find_latest(path: str) -> str | None:
    """The checkpoint of a run that is furthest on and whole, as `--resume` takes it.

    One that is older than the one that ``last_checkpoint`` names is of a run that was given up, and
    does not count.

    Args:
        path: The run's work dir. The file ``last_checkpoint`` is not needed.

    Returns:
        Its path; None where there is no checkpoint at all. One on another storage, if
        ``last_checkpoint`` names it.

    Raises:
        RuntimeError: There are some, and none is whole or of an epoch or iteration.
    """
    from mmengine.logging import print_log
    from mmengine.runner import checkpoint

    found: list[tuple[int, str]] = []
    tried: list[Path] = []
    passed = []
    since = 0.0
    named = pointed_checkpoint(path)
    for files in ([named] if named else [], *_numbered(path)):
        for file in files:
            if file in tried or file.stat().st_mtime < since:
                continue
            tried.append(file)
            try:
                content = checkpoint.CheckpointLoader.load_checkpoint(
                    str(file), map_location='cpu', logger='silent'
                )
                found.append((content['meta']['iter'], str(file)))
                if file == named:
                    since = file.stat().st_mtime
                break
            except Exception as error:
                passed.append(f'{file.name} is passed over: {error}')
    for line in passed:
        print_log(line, logger='current', level=logging.WARNING)
    folders = [file for file in tried if file.is_dir()]
    if folders and not found:
        raise RuntimeError(
            f"{path} has folders of DeepSpeed's, which are not searched for the latest; name the "
            f'one that you mean: --resume {folders[0]}'
        )
    if passed and not found:
        raise RuntimeError(
            f'{path} has no whole checkpoint to resume from ({passed[0]}); start anew in another '
            'folder: --work-dir DIR'
        )
    if found:
        return max(found)[1]
    pointer = Path(path, POINTER)
    elsewhere = pointer.read_text(errors='replace').strip() if pointer.is_file() else ''
    if '://' in elsewhere:
        return elsewhere
    others = sorted(file.name for file in Path(path).glob('*.pth'))
    if others:
        raise RuntimeError(
            f'{path} has {others[0]}, and no checkpoint of an epoch or an iteration to resume '
            f'from; name the one that you mean: --resume {Path(path, others[0])}'
        )
    return None


def _numbered(path: str) -> Iterator[list[Path]]:
    """Checkpoints of epochs, and those of iterations, the latest first."""
    for kind in ('epoch', 'iter'):
        steps = [
            (int(p.stem.removeprefix(f'{kind}_')), p)
            for p in Path(path).glob(f'{kind}_*.pth')
            if p.stem.removeprefix(f'{kind}_').isdecimal()
        ]
        yield [p for _, p in sorted(steps, reverse=True)]


def pointed_checkpoint(path: str | Path) -> Path | None:
    """The file that a work dir's ``last_checkpoint`` names, under whatever path it was written."""
    pointer = Path(path, POINTER)
    name = pointer.read_text(errors='replace').strip() if pointer.is_file() else ''
    places = [Path(path, name), Path(path, os.path.basename(name)), Path(name)]
    return next((place for place in places if name and place.is_file()), None)


def _dump_whole(dump: Callable[..., Any]) -> Callable[..., Any]:
    """Config.dump, which empties a file first, and leaves it so where the process is killed."""

    @functools.wraps(dump)
    def dump_whole(config: Any, file: str | Path | None = None) -> Any:
        if file is None or not str(file).endswith('.py'):
            return dump(config, file)
        text = config.pretty_text.encode()
        return write_whole(file, lambda opened: opened.write(text))

    return dump_whole


def install() -> None:
    """Replace the functions wherever MMEngine has them; calling it again is harmless."""
    from mmengine.config import Config
    from mmengine.runner import checkpoint

    save, find = checkpoint.save_checkpoint, checkpoint.find_latest_checkpoint
    if find is find_latest:
        return
    Config.dump = _dump_whole(Config.dump)
    patched = {
        'save_checkpoint': (save, _save_checkpoint(save)),
        find.__name__: (find, find_latest),
    }
    # Modules that were imported before have them under names of their own.
    for module in [m for name, m in sys.modules.items() if name.startswith('mmengine.')]:
        for name, (old, new) in patched.items():
            if vars(module).get(name) is old:
                setattr(module, name, new)
