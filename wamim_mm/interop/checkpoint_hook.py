"""Old checkpoints are removed after the new one is whole, and only those of the run itself.

MMEngine's CheckpointHook removes first and saves then, and takes the paths that it removes from the
checkpoint that a run resumes: a folder of that name would be deleted.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .saving import POINTER, write_whole


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

    def remove_now(self) -> None:
        """Remove it."""
        for path in self.waiting:
            if os.path.dirname(path) == self.folder.rstrip('/') and path.endswith('.pth'):
                is_folder = self.backend.isdir(path)
                (self.backend.rmtree if is_folder else self.backend.remove)(path)


def _after_saving(save: Callable[..., None]) -> Callable[..., None]:
    """A method of CheckpointHook that removes old checkpoints after it has saved the new one.

    Where saving fails, all is as it was before, and training goes on.
    """

    @functools.wraps(save)
    def saved(hook: Any, runner: Any, *args: Any, **kwargs: Any) -> None:
        hub = runner.message_hub.runtime_info
        before, informed = dict(vars(hook)), dict(hub)
        if hasattr(hook, 'keep_ckpt_ids'):
            before['keep_ckpt_ids'] = hook.keep_ckpt_ids.copy()
        backend = hook.file_backend
        hook.file_backend = _LateRemovals(backend, hook.out_dir)
        try:
            save(hook, runner, *args, **kwargs)
            if hook.last_ckpt is not None and os.path.exists(Path(runner.work_dir, POINTER)):
                name = os.path.relpath(hook.last_ckpt, runner.work_dir).encode()
                write_whole(Path(runner.work_dir, POINTER), lambda file: file.write(name))
        except OSError as error:
            vars(hook).update(before)
            hub.clear()
            hub.update(informed)
            runner.logger.error(f'{error}. Training goes on; make room before the next save.')
            return
        finally:
            late, hook.file_backend = hook.file_backend, backend
        late.remove_now()

    return saved


def _with_own_paths(before_train: Callable[..., None]) -> Callable[..., None]:
    """CheckpointHook.before_train, which takes from a resumed checkpoint names and no paths.

    A run that was moved goes on in its new place; and a checkpoint of somebody else does not say
    which files are removed.
    """

    @functools.wraps(before_train)
    def prepared(hook: Any, runner: Any) -> None:
        hub = runner.message_hub.runtime_info
        folder = hook.out_dir or runner.work_dir
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
        Hook._save_checkpoint_with_step = _after_saving(Hook._save_checkpoint_with_step)
        Hook._save_best_checkpoint = _after_saving(Hook._save_best_checkpoint)
