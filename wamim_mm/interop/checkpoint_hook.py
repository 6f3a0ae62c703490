"""Checkpoints are written while training goes on; old ones are removed after the new one is whole.

MMEngine's CheckpointHook removes first and saves then, lets training wait for the disk, and takes
the paths that it removes from the checkpoint that a run resumes: a folder of that name would be
deleted.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .saving import POINTER, gathered, in_background, remove_torn, write_checkpoint
from .whole_files import write_whole

#: What CheckpointHook notes of the files that it has written, in itself and in the message hub.
_OF_HOOK = ('keep_ckpt_ids', 'last_ckpt', 'best_ckpt_path', 'best_ckpt_path_dict')
_IN_HUB = ('keep_ckpt_ids', 'last_ckpt', 'best_ckpt', 'best_score')


class _LateRemovals:
    """A file backend that removes nothing but checkpoints of this folder, and when it is told."""

    def __init__(self, backend: Any, folder: str) -> None:
        self.backend = backend
        self.folder = folder
        self.waiting: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Note what is to be removed."""
        self.waiting.append(path)

    rmtree = remove

    def remove_now(self, written: Sequence[str] = ()) -> None:
        """Remove it, but for files that were written anew under the same name."""
        for path in self.waiting:
            ours = os.path.dirname(path) == self.folder.rstrip('/') and path.endswith('.pth')
            if ours and path not in written:
                is_folder = self.backend.isdir(path)
                with contextlib.suppress(FileNotFoundError):
                    (self.backend.rmtree if is_folder else self.backend.remove)(path)


def _in_background(save: Callable[..., None]) -> Callable[..., None]:
    """A method of CheckpointHook that copies what it saves, and leaves the rest to a thread.

    The thread writes the file, then the pointer to it, and then removes old files. Where that
    fails, the files are as they were before, and training goes on.
    """
    from mmengine.dist import broadcast_object_list, is_main_process

    @functools.wraps(save)
    def saved(hook: Any, runner: Any, *args: Any, **kwargs: Any) -> None:
        if vars(hook).get('is_saving'):  # to save the best one saves the last one again
            save(hook, runner, *args, **kwargs)
            return
        if is_main_process():
            _finish(hook, runner)
        # Where its last save has failed, all forget it: parts of a sharded model are saved by all
        # processes, or by none.
        notes = [_bookkeeping(hook, runner)]
        broadcast_object_list(notes)
        hook.is_saving = True
        try:
            if is_main_process():
                save_late(hook, runner, notes[0], *args, **kwargs)
            else:
                _restore(hook, runner, notes[0])
                save(hook, runner, *args, **kwargs)
        finally:
            hook.is_saving = False

    def save_late(hook: Any, runner: Any, before: Any, *args: Any, **kwargs: Any) -> None:
        pointer = Path(runner.work_dir, POINTER)
        pointed = None
        with contextlib.suppress(OSError):
            pointed = pointer.read_bytes()
        late = hook.file_backend = _LateRemovals(hook.file_backend, hook.out_dir)
        files: list[tuple[dict, str]] = []
        try:
            with gathered(files):
                save(hook, runner, *args, **kwargs)
        except OSError as error:
            if not files:  # it is written elsewhere
                _restore(hook, runner, before)
                _report(error, runner.logger)
                return
            # Otherwise MMEngine could not write the pointer, which is the last that it does.
        finally:
            hook.file_backend = late.backend
        if not files:  # it is written elsewhere, or there was no better one
            late.remove_now()
            return
        _point(pointer, pointed)
        name = pointed
        if hook.last_ckpt is not None:
            name = os.path.relpath(hook.last_ckpt, runner.work_dir).encode()
        job = in_background(_write, files, pointer, (pointed, name), late, runner.logger)
        hook.saving = (job, before, files)

    return saved


def _write(
    files: list[tuple[dict, str]],
    pointer: Path,
    pointed: tuple[bytes | None, bytes | None],
    late: _LateRemovals,
    logger: Any,
) -> bool:
    """Write checkpoints, point to the last one, remove old ones; False where it fails."""
    before, after = pointed
    written = []
    try:
        while files:
            write_checkpoint(*files[0])
            written.append(files.pop(0)[1])
    except OSError as error:
        _report(error, logger)
        _point(pointer, before)
        return False
    _point(pointer, after)
    late.remove_now(written)
    return True


def _report(error: OSError, logger: Any) -> None:
    logger.error(f'{error}. Training goes on; make room before the next save.')


def _point(pointer: Path, name: bytes | None) -> None:
    """Write the pointer where there is room; nothing depends on it."""
    with contextlib.suppress(OSError):
        if name is None:
            pointer.unlink(missing_ok=True)
        else:
            write_whole(pointer, lambda file: file.write(name))


def _bookkeeping(hook: Any, runner: Any) -> tuple[dict, dict]:
    """What the hook, and the message hub for it, know of the files that are there."""
    hub = runner.message_hub.runtime_info
    return (
        {key: copy.copy(vars(hook)[key]) for key in vars(hook) if key in _OF_HOOK},
        {key: hub[key] for key in hub if key.startswith(_IN_HUB)},
    )


def _finish(hook: Any, runner: Any) -> list[tuple[dict, str]]:
    """Wait for the save before; where it has failed, forget it and return what is not written."""
    if 'saving' in vars(hook):
        job, before, files = vars(hook).pop('saving')
        if not job.result():
            _restore(hook, runner, before)
            return files
    return []


def _restore(hook: Any, runner: Any, before: tuple[dict, dict]) -> None:
    of_hook, in_hub = before
    hub = runner.message_hub.runtime_info
    for key in [key for key in hub if key.startswith(_IN_HUB)]:
        del hub[key]
    hub.update(in_hub)
    vars(hook).update(of_hook)


def _finished(after_train: Callable[..., None]) -> Callable[..., None]:
    """CheckpointHook.after_train, after the last checkpoint is written.

    MMEngine's ``save_last`` knows the last step of the whole length alone, and a run that
    EarlyStoppingHook has ended would leave nothing of what it trained last.
    """

    @functools.wraps(after_train)
    def finished(hook: Any, runner: Any) -> None:
        if hook.by_epoch:
            step, length = runner.epoch, runner.max_epochs
        else:
            step, length = runner.iter, runner.max_iters
        saved = step == length or (
            hook.interval > 0
            and step >= hook.save_begin
            and (step - hook.save_begin) % hook.interval == 0
        )
        # Users' own loops may not know the word.
        stopped = getattr(runner.train_loop, 'stop_training', False)
        if stopped and hook.save_last and not saved:
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            hook._save_checkpoint_with_step(runner, step, meta=meta)
        try:
            for checkpoint, path in _finish(hook, runner):  # there may be room again
                write_checkpoint(checkpoint, path)
                name = os.path.relpath(path, runner.work_dir).encode()
                _point(Path(runner.work_dir, POINTER), name)
        except OSError as error:
            runner.logger.error(f'{error}. It is the last one: make room, and --resume.')
            sys.exit(1)
        after_train(hook, runner)

    return finished


def _with_own_paths(before_train: Callable[..., None]) -> Callable[..., None]:
    """CheckpointHook.before_train, which takes from a resumed checkpoint names and no paths.

    A run that was moved goes on in its new place; and a checkpoint of somebody else does not say
    which files are removed.
    """
    from mmengine.dist import is_main_process

    @functools.wraps(before_train)
    def prepared(hook: Any, runner: Any) -> None:
        hub = runner.message_hub.runtime_info
        folder = runner.work_dir
        if hook.out_dir not in (None, folder):  # as MMEngine will join them
            folder = os.path.join(hook.out_dir, os.path.basename(folder.rstrip(os.sep)))
        if is_main_process() and os.path.isdir(folder):
            remove_torn(folder)
        for key in [key for key in hub if key == 'best_ckpt' or key.startswith('best_ckpt_')]:
            name = os.path.basename(str(hub[key]))
            path = os.path.join(folder, name)
            if name.endswith('.pth') and os.path.isfile(path):
                hub[key] = path
            else:
                del hub[key]
        kept = hub.get('keep_ckpt_ids', [])
        if not isinstance(kept, list) or any(not isinstance(step, int) for step in kept):
            del hub['keep_ckpt_ids']
        before_train(hook, runner)

    return prepared


def install() -> None:
    """Let CheckpointHook do so; calling it again is harmless."""
    from mmengine.hooks.checkpoint_hook import CheckpointHook as Hook

    if not hasattr(Hook.before_train, '__wrapped__'):
        Hook.before_train = _with_own_paths(Hook.before_train)
        Hook.after_train = _finished(Hook.after_train)
        Hook._save_checkpoint_with_step = _in_background(Hook._save_checkpoint_with_step)
        Hook._save_best_checkpoint = _in_background(Hook._save_best_checkpoint)
