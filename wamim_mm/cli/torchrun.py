"""torchrun, for a run that may be told to stop, on one machine or on several.

It is what tools/dist_train.sh and tools/dist_test.sh start. torchrun ends with 1 whatever the
processes of a run end with, and SIGUSR1 would end it without them. Which machines there are, and
where they meet, it is told by variables of the environment; see docs/several-processes.md.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..interop.addresses import public_address
from ..launcher_notes import BEGUN, SAVED, SAVED_CODE

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

PORT, LARGEST_PORT = 29500, 65535
#: Seconds in which the first machine must have a name: those of containers come when they start.
NAME_TIMEOUT = 60


def main() -> None:
    """Run torchrun with the arguments of this process.

    Raises:
        SystemExit: With 1 if machines are missing or a process has failed; with 2 if the
            environment or the command line is wrong; with 75 if the run has saved and can go on;
            with 128 and the number of the signal if it was ended before.
    """
    try:
        _check_processes(sys.argv)
        sys.argv[1:1] = meeting(os.environ)
    except ValueError as error:
        print(f'torchrun: {error}', file=sys.stderr)
        sys.exit(2)
    # Processes that are started again need a store of their own: torchrun's has the addresses of
    # those that ended.
    os.environ['TORCH_DISABLE_SHARE_RDZV_TCP_STORE'] = '1'

    from torch.distributed import DistNetworkError, DistStoreError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import (
        RendezvousConnectionError,
        RendezvousTimeoutError,
    )
    from torch.distributed.run import main as torchrun

    # It passes SIGTERM on to the processes, SIGUSR1 only in new versions.
    signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, 'saved')
        os.environ[SAVED] = str(note)
        os.environ[BEGUN] = str(Path(folder, 'begun'))
        code = 0
        try:
            torchrun()
        except SignalException as stop:
            code = 128 + stop.sigval
        except ChildFailedError as failed:
            code = _failed(failed)
        except (RendezvousTimeoutError, DistStoreError):
            code = _missing('too few machines have come in time (JOIN_TIMEOUT)')
        except (RendezvousConnectionError, DistNetworkError) as error:
            code = _not_connected(error)
        sys.exit(SAVED_CODE if note.exists() else code)


def _not_connected(error: Exception) -> int:
    if 'EADDRINUSE' not in f'{error} {error.__cause__}':
        return _missing('the machine with NODE_RANK=0 does not answer')
    print(
        f'torchrun: PORT={os.environ.get("PORT", PORT)} is taken on this machine, by another run '
        'mostly; set another one, on all machines of this run',
        file=sys.stderr,
    )
    return 2


def _missing(what: str) -> int:
    given = ', '.join(
        f'{name}={os.environ[name]}'
        for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT')
        if name in os.environ
    )
    print(
        f'torchrun: {what}: {given}; when all are there, start it on each, with --resume if it '
        'had begun',
        file=sys.stderr,
    )
    return 1


def _failed(error: ChildFailedError) -> int:
    """Name the process that was the first to fail; its own message is on the screen already."""
    rank, first = error.get_first_failure()
    ended = (
        f'was killed by {first.signal_name()}'
        if first.exitcode < 0
        else f'ended with {first.exitcode}; it has said above why'
    )
    print(f'torchrun: process {rank} {ended}', file=sys.stderr)
    return 2 if first.exitcode == 2 else 1


def _check_processes(arguments: Sequence[str]) -> None:
    """Raise ValueError where the number of processes is none."""
    for argument in arguments:
        name, _, value = argument.partition('=')
        if name == '--nproc_per_node' and not re.fullmatch(r'[1-9]\d*', value):
            raise ValueError(
                f'GPUS={value!r} must be a number from 1 on: processes on this machine'
            )


def _wait_for_name(first: str) -> None:
    """Raise ValueError where the first machine's name stays unknown; torchrun asks for ever."""
    for _ in range(NAME_TIMEOUT):
        try:
            socket.getaddrinfo(first, None)
            return
        except OSError as error:
            reason = error.strerror
        time.sleep(1)
    raise ValueError(
        f'MASTER_ADDR={first!r} has no address ({reason}); set it to the name or address of the '
        'machine with NODE_RANK=0'
    )


def meeting(environment: Mapping[str, str]) -> list[str]:
    """torchrun's arguments for how the machines of a job meet.

    Args:
        environment: ``NNODES``, a number or the least and the greatest one (``6:8``);
            ``NODE_RANK``, ``MASTER_ADDR``, ``PORT``, ``MAX_RESTARTS`` and ``JOIN_TIMEOUT``.

    Raises:
        ValueError: One is missing where there are several machines, or no number, or nobody knows
            the first machine's name.
    """
    nodes = environment.get('NNODES', '1')
    found = re.fullmatch(r'([1-9]\d*)(?::([1-9]\d*))?', nodes)
    if not found or int(found[1]) > int(found[2] or found[1]):
        raise ValueError(
            f'NNODES={nodes!r} must be the number of machines, or the least and the greatest one, '
            'as NNODES=6:8'
        )
    most = int(found[2] or found[1])
    port = _number(environment, 'PORT', PORT)
    restarts = _number(environment, 'MAX_RESTARTS', 0)
    if port > LARGEST_PORT:
        raise ValueError(f'PORT={port} must be {LARGEST_PORT} at most')
    if 'NODE_RANK' in environment and 'NNODES' not in environment:
        raise ValueError(
            f'NODE_RANK={environment["NODE_RANK"]}, and NNODES is not set; set it on all machines '
            'to their number'
        )
    if most > 1 and 'MASTER_ADDR' not in environment:
        raise ValueError(
            f'NNODES={nodes}, and MASTER_ADDR is not set; set it on all machines to the name or '
            'address of the one with NODE_RANK=0'
        )
    rank = _number(environment, 'NODE_RANK', 0)
    if most > 1 and ('NODE_RANK' not in environment or rank >= most):
        raise ValueError(
            f'NNODES={nodes}: NODE_RANK must be 0 to {most - 1}, another on each machine, got '
            f'{environment.get("NODE_RANK")!r}'
        )
    first = environment.get('MASTER_ADDR', '127.0.0.1')
    _wait_for_name(first)  # this machine's own address follows from it
    # torchrun's own guess is this machine's name, which others may not know.
    own = public_address(first) if most > 1 else first
    arguments = [f'--nnodes={nodes}', f'--local-addr={own}']
    wait = _number(environment, 'JOIN_TIMEOUT', 600)
    if not restarts and ':' not in nodes:
        return [
            *arguments,
            f'--node-rank={rank}',
            f'--master-addr={first}',
            f'--master-port={port}',
            f'--rdzv-conf=timeout={wait}',
        ]
    # Which machine has the store, it would guess from names as well.
    settings = f'is_host={"false" if rank else "true"},join_timeout={wait}'
    return [
        *arguments,
        f'--max-restarts={restarts}',
        '--rdzv-backend=c10d',
        f'--rdzv-endpoint={first}:{port}',
        f'--rdzv-conf={settings}',
    ]


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal():
        raise ValueError(f'{name}={value!r} must be a number from 0 on')
    return int(value)


if __name__ == '__main__':
    main()
