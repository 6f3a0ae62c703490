"""Where one of several processes hangs, all end, and one of them says which it was.

A process that is stopped, swapped out or waits for its data lets the others wait in the middle of a
step, without a message. So each has a thread that beats: it writes to the store of the launcher
where its main thread is. If that does not move on for long, it compares the beats of all.
"""

import atexit
import contextlib
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
from typing import NamedTuple

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.distributed import PrefixStore, TCPStore

#: What a process ends with after such a hang, as ``timeout(1)`` does.
HUNG = 124
#: Share of the timeout after which a process that does not move on compares the beats, and the
#: share for which it then watches them. After all of it the collective call of a backend fails,
#: without a name.
LATE, WATCH = 0.8, 0.1


class Beat(NamedTuple):
    """What a process says of itself; ``number`` grows by each beat, ``moves`` by each place."""

    number: int
    moves: int
    host: str
    place: str
    line: str


@HOOKS.register_module()
class HeartbeatHook(Hook):
    """End a process that does not move on, and say which process holds it up.

    One line goes to stderr and to the log; the exit code is 124. It needs the environment of
    MMEngine's launchers: ``MASTER_ADDR`` and ``MASTER_PORT``.

    Args:
        timeout: Seconds in which a process must get from one place to the next: from the beginning
            of a step to its end, through one batch of validation, or through the saving of a
            checkpoint. Within 0.9 of them the processes end.
    """

    priority = 'LOWEST'  # what other hooks do in a step belongs to the step

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.period = min(1.0, timeout / 40)

    # Where the main thread is.

    def before_run(self, runner: Runner) -> None:
        """Begin to beat."""
        self._runner, self._main = runner, threading.get_ident()
        self._moves, self._answered = 0, time.monotonic()
        self._seen: list[dict[int, Beat]] = []
        self._move('begins')
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._beat, self._watch)
        ]
        for thread in self._threads:
            thread.start()
        # A thread that is inside the store when Python ends would abort the process.
        atexit.register(self.after_run, runner)

    def after_run(self, runner: Runner) -> None:
        """Beat no longer."""
        self._over.set()
        for thread in self._threads:
            thread.join(5 * self.period)

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._move(f'waits for the first batch ({mode})')

    def _before_iter(self, runner: Runner, batch_idx: int, *args, mode='train', **kwargs):
        self._move(f'in {self._step(runner, batch_idx, mode)}')

    def _after_iter(self, runner: Runner, batch_idx: int, *args, mode='train', **kwargs):
        self._move(f'waits for the data after {self._step(runner, batch_idx, mode)}')

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._move(f'at the end of an epoch ({mode})')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """The first process alone saves, so this is no place that others reach."""
        self._place, self._moved = 'saves a checkpoint', time.monotonic()

    @staticmethod
    def _step(runner: Runner, batch_idx: int, mode: str) -> str:
        return f'step {runner.iter + 1}' if mode == 'train' else f'batch {batch_idx + 1} ({mode})'

    def _move(self, place: str) -> None:
        self._moves += 1
        self._place, self._moved = place, time.monotonic()

    # What the threads do. The store may block forever, so one thread does nothing else.

    def _beat(self) -> None:
        ranks = [str(rank) for rank in range(self._runner.world_size)]
        with contextlib.suppress(RuntimeError):  # the store is gone: then it does not answer
            self._store = PrefixStore(
                # Processes that are started again meet at another port; the count of restarts is
                # not the same on all machines.
                f'heartbeat/{os.environ["MASTER_PORT"]}',
                TCPStore(
                    os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']), is_master=False
                ),
            )
            number = 0
            while not self._over.wait(self.period):
                number += 1
                beat = Beat(number, self._moves, socket.gethostname(), self._place, self._line())
                self._store.set(ranks[self._runner.rank], json.dumps(beat))
                if self._is_late():
                    begun = ranks  # one question for all, as a thousand processes may ask
                    if not self._store.check(ranks):
                        begun = [other for other in ranks if self._store.check([other])]
                    beats = map(json.loads, self._store.multi_get(begun))
                    self._seen.append({int(r): Beat(*b) for r, b in zip(begun, beats, strict=True)})
                else:
                    self._seen.clear()
                self._answered = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(self.period):
            if self._is_late():
                self._over.wait(WATCH * self.timeout)
                if self._is_late() and not self._over.is_set():
                    self._end()

    def _is_late(self) -> bool:
        return time.monotonic() - self._moved > LATE * self.timeout

    def _line(self) -> str:
        """The innermost line of the main thread."""
        frame = sys._current_frames()[self._main]
        code = frame.f_code
        return f'{code.co_filename}, line {frame.f_lineno}, in {code.co_name}'

    def _end(self) -> None:
        # The disk of the log may be what hangs, or the store by now.
        threading.Timer(5, os._exit, (HUNG,)).start()
        seen, first = list(self._seen), True
        if len(seen) > 1 and time.monotonic() - self._answered < WATCH * self.timeout:
            what = compare(seen[0], seen[-1], self._runner.world_size)
            with contextlib.suppress(RuntimeError):
                first = self._store.add('said', 1) == 1
        else:
            what = (
                f'the store of the launcher at {os.environ["MASTER_ADDR"]} does not answer: the '
                'launcher or process 0 is stopped, or its machine or the network is gone'
            )
        text = (
            f'no progress for {LATE * self.timeout:.0f} s (env_cfg.dist_cfg.timeout='
            f'{self.timeout:g}): {what}. All processes end, with exit code {HUNG}'
        )
        if first:
            with contextlib.suppress(OSError):
                os.write(2, f'{text}\n'.encode())
        if self._runner.rank == 0:  # the only one with a log
            self._runner.logger.error(text)
        for worker in multiprocessing.active_children():  # may be what hangs, and would stay
            worker.kill()
        os._exit(HUNG)


def compare(before: dict[int, Beat], after: dict[int, Beat], size: int) -> str:
    """Say which process holds up the others.

    Args:
        before: Process -> its beat, of those that have begun to beat.
        after: The same some beats later.
        size: The number of processes.

    Returns:
        Those that beat no longer; if all do, those that are behind; if none is, where all are.
    """
    silent = [
        rank
        for rank in range(size)
        if rank not in after or (rank in before and before[rank].number == after[rank].number)
    ]
    if silent:
        return (
            f'no heartbeat of {_name(silent, after)}, which was stopped, or whose machine or '
            'network is gone'
        )
    least = min(beat.moves for beat in after.values())
    behind = [rank for rank in after if after[rank].moves == least]
    if len(behind) == size:
        return f'all are at the same place: {_name(behind, after)}'
    ahead = next(beat for beat in after.values() if beat.moves > least)
    return f'behind is {_name(behind, after)}; others are further: {ahead.place}'


def _name(ranks: list[int], beats: dict[int, Beat]) -> str:
    """At most four processes, and where they are."""
    named = [
        f'process {rank} on {beats[rank].host} ({beats[rank].place}: {beats[rank].line})'
        if rank in beats
        else f'process {rank} (it has not begun)'
        for rank in ranks[:4]
    ]
    more = [f'{len(ranks) - 4} more'] if len(ranks) > 4 else []
    return ' and '.join(named + more)
