"""A run that is told to stop finishes its step, saves, and says how to go on."""

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..interop.saving import POINTER, write_whole

#: What such a run ends with: saved, start me again (EX_TEMPFAIL of sysexits.h).
SAVED = 75
#: What it writes to the work dir; ``last_checkpoint`` names it.
FILE = 'interrupted.pth'
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
#: Steps after which processes tell each other that they were told to stop.
EVERY = 10


@HOOKS.register_module()
class StopHook(Hook):
    """Stop after the step at SIGTERM, SIGUSR1 or the first Ctrl-C, or when the time is up.

    ``interrupted.pth`` is written to the work dir, and the process ends with exit code 75. At the
    second signal it ends at once. Several processes stop after the same step, within ten.

    Args:
        max_hours: Hours of training; None for no limit.

    Raises:
        ValueError: It is not positive.
    """

    priority = 'VERY_LOW'  # after all else that belongs to a step

    def __init__(self, max_hours: float | None = None) -> None:
        if max_hours is not None and not max_hours > 0:
            raise ValueError(f'StopHook: max_hours must be positive, got {max_hours}')
        self.max_hours = max_hours
        self.reason: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals, and start the clock."""
        self._started = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._told) for number in SIGNALS}

    def after_train(self, runner: Runner) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self.reason is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.reason = signal.Signals(number).name

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop if told so.

        Raises:
            SystemExit: With code 75, after the checkpoint is written.
        """
        hours = (time.monotonic() - self._started) / 3600
        if self.reason is None and self.max_hours is not None and hours >= self.max_hours:
            self.reason = f'{self.max_hours:g} hours are over'
        stops = self.reason is not None
        if get_world_size() > 1:
            if (runner.iter + 1) % EVERY:
                return
            told = torch.tensor(float(stops))
            all_reduce(told, 'max')
            stops = bool(told)
        if not stops:
            return
        runner.save_checkpoint(runner.work_dir, FILE, by_epoch=False)
        if runner.rank == 0:
            write_whole(Path(runner.work_dir, POINTER), lambda file: file.write(FILE.encode()))
        runner.logger.info(
            f'{self.reason or "another process was told to stop"}: saved '
            f'{Path(runner.work_dir, FILE)} after iteration {runner.iter + 1}; the same command '
            'with --resume goes on from there'
        )
        self.after_train(runner)
        sys.exit(SAVED)
