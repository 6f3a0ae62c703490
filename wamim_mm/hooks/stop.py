"""A run that is told to stop finishes its step, saves, and says how to go on."""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..interop.data_workers import SIGNALS
from ..interop.saving import POINTER
from ..interop.whole_files import write_whole
from ..launcher_notes import SAVED, SAVED_CODE

#: What it writes to the work dir; ``last_checkpoint`` names it.
FILE = 'interrupted.pth'
#: Steps after which processes tell each other that they were told to stop.
EVERY = 10
#: Seconds after a signal in which another is the same one, where there is a launcher: it passes on
#: what it gets, and its processes may have got it too.
SAME = 1.0
END, AGAIN = 1, 2  # what a run was told; the greater one counts


@HOOKS.register_module()
class StopHook(Hook):
    """Stop after the step at SIGTERM, SIGUSR1, SIGHUP or the first Ctrl-C, or when the time is up.

    ``interrupted.pth`` is written to the work dir, and the process ends with exit code 75. At the
    second signal it ends at once, but for SIGHUP: a terminal that is closed may send several. A run
    under ``nohup`` does not listen to it. Several processes stop after the same step, within ten.
    After the last step of an epoch it saves, and stops after a step of the next: the epoch's
    validation belongs to it. A run that was told in its last steps ends as always.

    Args:
        max_hours: Hours of training; None for no limit.
        resume_by: What goes on with the run, for the message.

    Raises:
        ValueError: It is not positive.
    """

    priority = 'VERY_LOW'  # after all else that belongs to a step

    def __init__(
        self, max_hours: float | None = None, resume_by: str = 'the same command with --resume'
    ) -> None:
        if max_hours is not None and not max_hours > 0:
            raise ValueError(f'StopHook: max_hours must be positive, got {max_hours}')
        self.max_hours = max_hours
        self.resume_by = resume_by
        self.reason: str | None = None
        self._told = 0
        self._deferred = False  # it stops after the next step
        self._first_signal: float | None = None
        self._before: dict[signal.Signals, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals, and start the clock."""
        self._started = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._listen)
                for number in SIGNALS
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
            }

    def after_train(self, runner: Runner) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _listen(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_signal is None:
            self._first_signal = now
            self._stop(signal.Signals(number).name, AGAIN if number == signal.SIGUSR1 else END)
            if get_rank() == 0:
                text = f'{self.reason}: stops after this step; another one ends it at once\n'
                # Printing might be what was interrupted, and Ctrl-C ends a `tee` behind it too.
                with contextlib.suppress(OSError):
                    os.write(2, text.encode())
        elif number != signal.SIGHUP and (now - self._first_signal > SAME or not _is_launched()):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _stop(self, reason: str, told: int) -> None:
        if self.reason is None:
            self.reason, self._told = reason, told

    def after_train_iter(self, runner: Runner, batch_idx: int, *args, **kwargs) -> None:
        """Stop if told so.

        Raises:
            SystemExit: With code 75, after the checkpoint is written.
        """
        hours = (time.monotonic() - self._started) / 3600
        if self.max_hours is not None and hours >= self.max_hours:
            self._stop(f'{self.max_hours:g} hours are over', AGAIN)
        told = self._told
        if get_world_size() > 1 and not self._deferred:
            if (runner.iter + 1) % EVERY:
                return
            most = torch.tensor(told)
            all_reduce(most, 'max')
            told = int(most)
        if not told or runner.iter + 1 >= runner.max_iters:
            return
        done = f'saved {Path(runner.work_dir, FILE)} after iteration {runner.iter + 1}'
        try:
            runner.save_checkpoint(runner.work_dir, FILE, by_epoch=False)
            if runner.rank == 0:
                write_whole(Path(runner.work_dir, POINTER), lambda file: file.write(FILE.encode()))
        except OSError as error:
            done = f'{error}; what was saved before is there'
        # Until process 0 has saved, none may end: launchers kill the rest then.
        barrier()
        if _validates_now(runner, batch_idx) and not self._deferred:
            self._deferred, self._told = True, told
            return
        runner.logger.info(
            f'{self.reason or "another process was told to stop"}: {done}; '
            f'{self.resume_by} goes on from there'
        )
        self.after_train(runner)
        note = os.environ.get(SAVED)
        if note is None:
            sys.exit(SAVED_CODE)
        Path(note).write_text('again' if told == AGAIN else 'end')
        sys.exit(0)


def _is_launched() -> bool:
    return get_world_size() > 1 or 'TORCHELASTIC_RUN_ID' in os.environ


def _validates_now(runner: Runner, batch_idx: int) -> bool:
    """Whether what belongs to the end of an epoch, or a validation, comes after this step."""
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        return batch_idx + 1 == len(loop.dataloader)
    done = runner.iter + 1
    return runner.val_loop is not None and done >= loop.val_begin and done % loop.val_interval == 0
