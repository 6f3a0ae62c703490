"""Data workers live as long as the process that trains needs them.

Launchers, terminals and ``pkill`` send a signal to a process and to its data workers. A worker of
torch ends at SIGTERM, and with it the run, before it can save.

A worker that cannot hand a sample over ends. Python prints why and goes on, and the process that
trains waits for that sample for ever. So it is where shared memory is short, as in a container, and
a batch is a list of images, as in detection.
"""

import functools
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.queues import Queue
from typing import Any, NoReturn

#: What tells a run to stop, see `hooks.stop`.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


def install() -> None:
    """Give the workers of MMEngine's data loaders our beginning; calling it again is harmless."""
    from mmengine.runner import FlexibleRunner, Runner

    for cls in (Runner, FlexibleRunner):
        build = cls.build_dataloader
        if not hasattr(build, '__wrapped__') and hasattr(signal, 'sigwaitinfo'):  # macOS has none
            cls.build_dataloader = staticmethod(_with_beginning(build))


def _with_beginning(build: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(build)
    def built(*args: Any, **kwargs: Any) -> Any:
        loader = build(*args, **kwargs)
        loader.worker_init_fn = functools.partial(_begin, loader.worker_init_fn)
        return loader

    return built


def _begin(begin: Callable[[int], None] | None, worker: int) -> None:
    """What a worker does first."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=_wait_for_parent, daemon=True).start()
    Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]
    if begin is not None:
        begin(worker)


def _end(error: Exception, sample: object) -> NoReturn:
    """End after an error of the thread that hands samples over."""
    traceback.print_exception(error)
    os._exit(1)


def _wait_for_parent() -> NoReturn:
    """End at a signal of the process that trains, as torch's workers do, and at no other."""
    while signal.sigwaitinfo(SIGNALS).si_pid != os.getppid():
        pass
    os._exit(0)
