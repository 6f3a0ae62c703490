"""Where one of several processes hangs, all end, and one of them says which it was.

A process that is stopped, swapped out or waits for its data lets the others wait in the middle of a
step, without a message. So each has a thread that beats: it writes to the store of the launcher
where its main thread is. If that does not move on for long, it compares the beats of all.

The store also has what the first process that failed says of it. On one machine the launcher ends
the others; those on other machines would get an error of the network, or wait.
"""

import atexit
import contextlib
import json
import math
import multiprocessing
import os
import socket
import sys
import threading
import time
from typing import NamedTuple, NoReturn

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.distributed import DistError, PrefixStore, TCPStore

#: What a process ends with after such a hang, as ``timeout(1)`` does.
HUNG = 124
#: Share of the timeout after which a process that does not move on compares the beats, and the
#: share for which it then watches them. After all of it the collective call of a backend fails,
#: without a name.
LATE, WATCH = 0.8, 0.1
#: Beats in which the others hear of a failure; after which a process whose heart does not beat is
#: gone; and after which one that has heard of a failure and does not move on ends.
HEARD, GONE, GRACE = 3, 6, 15


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
    MMEngine's launchers: ``MASTER_ADDR`` and ``MASTER_PORT``. A process that fails tells the others
    (see `failed`); those that wait for it end with 1.

    Args:
        timeout: Seconds in which a process must get from one place to the next: from the beginning
            of a step to its end, through one batch of validation, or through the saving of a
            checkpoint. Within 0.9 of them the processes end.
    """

    priority = 'LOWEST'  # what other hooks do in a step belongs to the step

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.period = min(1.0, timeout / 40)
        self._runner: Runner | None = None
        self._threads: list[threading.Thread] = []

    def begin(self, rank: int, size: int) -> None:
        """Begin to beat, before there is a Runner; until there is one, nothing is late.

        Args:
            rank: Of this process.
            size: The number of processes.
        """
        self._rank, self._size, self._main = rank, size, threading.get_ident()
        self._moves, self._answered = 0, time.monotonic()
        self._place, self._moved = 'prepares the run', math.inf
        self._seen: list[dict[int, Beat]] = []
        self._asks = False  # for the beats of all
        self._failure = ''  # what this process says of its own
        self._heard = ''  # and what the first one has said
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._beat, self._watch)
        ]
        for thread in self._threads:
            thread.start()
        # A thread that is inside the store when Python ends would abort the process.
        atexit.register(self._stop)

    # Where the main thread is.

    def before_run(self, runner: Runner) -> None:
        """Begin to beat, if it does not yet; from now on a process may be late."""
        self._runner = runner
        if not self._threads:
            self.begin(runner.rank, runner.world_size)
        self._move('begins')

    def after_run(self, runner: Runner) -> None:
        """Beat no longer."""
        self._stop()

    def _stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5 * self.period)
        self._threads = []

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

    def failed(self, error: Exception, text: str) -> str | None:
        """Tell the other processes that this one fails, if they are not the reason.

        It takes a few seconds, in which they listen: the store may end with this process.

        Args:
            error: What this process ends with.
            text: The same in words.

        Returns:
            Where the error is one of the network: what the first process that failed has said, or
            which process is gone. None if it is this one's own, or nobody knows.
        """
        ours = not _is_of_the_network(error)
        if ours:
            self._failure = f'process {self._rank} on {socket.gethostname()} has failed: {text}'
        self._seen, self._asks = [], True
        self._over.wait((HEARD if ours else GONE) * self.period)
        if ours:
            return None
        reason = self._heard
        if not reason and time.monotonic() - self._answered > GONE / 2 * self.period:
            reason = _no_store()
        seen = list(self._seen)
        if not reason and len(seen) > 1:
            silent = silent_ones(seen[0], seen[-1], self._size)
            reason = _gone(silent, seen[-1]) if silent else ''
        if reason and self._rank == 0 and self._runner is not None:
            self._runner.logger.error(reason)
        return reason or None

    # What the threads do. The store may block forever, so one thread does nothing else.

    def _beat(self) -> None:
        ranks = [str(rank) for rank in range(self._size)]
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
                self._store.set(ranks[self._rank], json.dumps(beat))
                self._exchange_failures()
                if self._is_late() or self._asks:
                    begun = ranks  # one question for all, as a thousand processes may ask
                    if not self._store.check(ranks):
                        begun = [other for other in ranks if self._store.check([other])]
                    beats = map(json.loads, self._store.multi_get(begun))
                    self._seen.append({int(r): Beat(*b) for r, b in zip(begun, beats, strict=True)})
                else:
                    self._seen.clear()
                self._answered = time.monotonic()

    def _exchange_failures(self) -> None:
        if self._failure and not self._heard and self._store.add('failures', 1) == 1:
            self._store.set('failure', self._failure)
        if not self._heard and self._store.check(['failure']):
            self._heard = self._store.get('failure').decode()

    def _watch(self) -> None:
        waited, moves = 0, 0
        while not self._over.wait(self.period):
            # Mostly it is waiting for the other, and gets an error of its own within a second.
            waited = waited + 1 if self._heard and moves == self._moves else 0
            moves = self._moves
            if waited > GRACE and not self._failure:
                self._leave(f'{self._heard}. The processes that wait for it end', 1, self._speaks())
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
        seen, first = list(self._seen), True
        # The store may be what hangs by now.
        threading.Timer(5, os._exit, (HUNG,)).start()
        if len(seen) > 1 and time.monotonic() - self._answered < WATCH * self.timeout:
            what = compare(seen[0], seen[-1], self._size)
            with contextlib.suppress(RuntimeError):
                first = self._store.add('said', 1) == 1
        else:
            what = _no_store()
        text = (
            f'no progress for {LATE * self.timeout:.0f} s (env_cfg.dist_cfg.timeout='
            f'{self.timeout:g}): {what}. All processes end, with exit code {HUNG}'
        )
        self._leave(text, HUNG, first)

    def _leave(self, text: str, code: int, speaks: bool) -> NoReturn:
        """End this process now, whatever its main thread does."""
        threading.Timer(5, os._exit, (code,)).start()  # the disk of the log may be what hangs
        if speaks:
            with contextlib.suppress(OSError):
                os.write(2, f'{text}\n'.encode())
        if self._rank == 0 and self._runner is not None:  # the only one with a log
            self._runner.logger.error(text)
        for worker in multiprocessing.active_children():  # may be what hangs, and would stay
            worker.kill()
        os._exit(code)

    @staticmethod
    def _speaks() -> bool:
        """Whether this is the first process on its machine."""
        return os.environ.get('LOCAL_RANK', '0') == '0'


def compare(before: dict[int, Beat], after: dict[int, Beat], size: int) -> str:
    """Say which process holds up the others.

    Args:
        before: Process -> its beat, of those that have begun to beat.
        after: The same some beats later.
        size: The number of processes.

    Returns:
        Those that beat no longer; if all do, those that are behind; if none is, where all are.
    """
    silent = silent_ones(before, after, size)
    if silent:
        return _gone(silent, after)
    least = min(beat.moves for beat in after.values())
    behind = [rank for rank in after if after[rank].moves == least]
    if len(behind) == size:
        return f'all are at the same place: {_name(behind, after)}'
    ahead = next(beat for beat in after.values() if beat.moves > least)
    return f'behind is {_name(behind, after)}; others are further: {ahead.place}'


def silent_ones(before: dict[int, Beat], after: dict[int, Beat], size: int) -> list[int]:
    """The processes whose hearts do not beat, or never began to; arguments as of `compare`."""
    return [
        rank
        for rank in range(size)
        if rank not in after or (rank in before and before[rank].number == after[rank].number)
    ]


def _gone(silent: list[int], beats: dict[int, Beat]) -> str:
    return (
        f'no heartbeat of {_name(silent, beats)}, which was killed or stopped, or whose machine or '
        'network is gone'
    )


def _no_store() -> str:
    return (
        f'the store of the launcher at {os.environ["MASTER_ADDR"]} does not answer: the launcher '
        'or process 0 is stopped, or its machine or the network is gone'
    )


def _is_of_the_network(error: Exception) -> bool:
    """Whether a process fails since it does not reach another; gloo has no exception of its own."""
    text = str(error).lower()
    return isinstance(error, DistError) or 'gloo' in text or 'nccl' in text


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
