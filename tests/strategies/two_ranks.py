"""The training command on two processes with gloo, in copies of one that has the libraries.

One start serves several commands, one after the other.
"""

import gc
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from ..forked import ROOT


@HOOKS.register_module()
class NotFinite(Hook):
    """Lets the loss of the second process be NaN in the second step."""

    def before_train(self, runner):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loss = model.head.loss

        def spoiled(*args):
            share = float('nan') if runner.rank == 1 and runner.iter == 1 else 1.0
            return {name: share * value for name, value in loss(*args).items()}

        model.head.loss = spoiled


def train(folder: Path, *commands: Sequence[str], timeout: float = 300) -> list[list[int]]:
    """Run `tools/train.py` with these arguments, each of them on both processes.

    Args:
        folder: Where ``rank0.txt`` and ``rank1.txt`` go, what they have written to the screen.
        commands: The arguments.
        timeout: In seconds; after it the processes are killed.

    Returns:
        For each process, what its commands have ended with.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.forked_libraries'])
    lines = [[str(part) for part in command] for command in commands]
    processes = [
        context.Process(target=_run, args=(lines, rank, port, folder / f'rank{rank}'))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
        if process.is_alive():
            process.kill()
    ended = [(folder / f'rank{rank}.codes').read_text().split() for rank in range(2)]
    return [list(map(int, codes)) for codes in ended]


def _run(commands: list[list[str]], rank: int, port: int, out: Path) -> None:
    os.chdir(ROOT)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        OMP_NUM_THREADS='1',
    )
    with out.with_suffix('.txt').open('w', buffering=1) as screen:
        os.dup2(screen.fileno(), 1)
        os.dup2(screen.fileno(), 2)
        sys.stdout = sys.stderr = screen
        import mmengine.config.config
        import torch

        from wamim_mm.cli.train import main

        torch.set_num_threads(1)
        # Half of the time of such short runs: all objects of all libraries are looked through
        # again and again, and the text of configs is made pretty.
        gc.freeze()
        mmengine.config.config.FormatCode = lambda text, **_: (text, True)
        codes = []
        for command in commands:
            sys.argv = ['tools/train.py', *command, '--launcher', 'pytorch']
            try:
                main()
                codes.append(0)
            except SystemExit as stop:
                codes.append(stop.code)
            except BaseException:
                traceback.print_exc()
                codes.append(1)
                break
    out.with_suffix('.codes').write_text(' '.join(map(str, codes)))
    os._exit(0)
