"""Data workers live as long as the process that trains needs them.

Launchers, terminals and ``pkill`` send a signal to a process and to its data workers. A worker of
torch ends at SIGTERM, and with it the run, before it can save.
"""

import functools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, NoReturn

#: What tells a run to stop, see `hooks.stop`.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def install() -> None:
    """Give the workers of MMEngine's data loaders our beginning; calling it again is harmless."""
    from mmengine.runner.runner import Runner

    build = Runner.build_dataloader
    if hasattr(build, '__wrapped__') or not hasattr(signal, 'sigwaitinfo'):  # macOS has none
        return

    @functools.wraps(build)
    def built(*args: Any, **kwargs: Any) -> Any:
        loader = build(*args, **kwargs)
        loader.worker_init_fn = functools.partial(_begin, loader.worker_init_fn)
        return loader

    Runner.build_dataloader = staticmethod(built)


def _begin(begin: Callable[[int], None] | None, worker: int) -> None:
    """What a worker does first."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=_wait_for_parent, daemon=True).start()
    if begin is not None:
        begin(worker)


def _wait_for_parent() -> NoReturn:
    """End at a signal of the process that trains, as torch's workers do, and at no other."""
    while signal.sigwaitinfo(SIGNALS).si_pid != os.getppid():
        pass
    os._exit(0)
