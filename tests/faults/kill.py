"""Runs that are killed by ``kill -9`` at random moments, and resumed, end as one never killed.

    python -m tests.faults.kill [--kills 50] [--seed 0] [--out FILE]

tools/train.py and tools/dist_train.sh, with one process and two, checkpoints of epochs and of every
second iteration, 0, 2 and 4 data workers. Half of the kills wait until a checkpoint is being
written. In the end the weights must equal, bit for bit, those of a run that was never killed, and
of three kept checkpoints each must be whole.
"""

import argparse
import contextlib
import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from benchmarks.measure import environment, write
from wamim_mm.demo.scenes import make_scenes

ROOT = Path(__file__).resolve().parent.parent.parent
EPOCHS, STEPS, BATCH = 4, 6, 8  # 48 scenes
KILLS_OF_A_RUN = 4
LONGEST = 300.0  # seconds that any start may take


class Setting(NamedTuple):
    """How a run is made."""

    processes: int
    by_epoch: bool
    workers: int

    def arguments(self, scenes: Path, work_dir: Path) -> list[str]:
        """Of tools/train.py."""
        per_process = BATCH // self.processes
        options = {
            'data_root': scenes,
            'train_cfg.max_epochs': EPOCHS,
            'train_dataloader.batch_size': per_process,
            'train_dataloader.num_workers': self.workers,
            'train_dataloader.persistent_workers': self.workers == 4,
            'default_hooks.checkpoint.interval': 1 if self.by_epoch else 2,
            'default_hooks.checkpoint.by_epoch': self.by_epoch,
            'default_hooks.checkpoint.max_keep_ckpts': 3 if self.workers else 1,
            'default_hooks.logger.interval': 1,
        }
        return [
            *('configs/demo/wamim_vit.py', '--resume', '--work-dir', str(work_dir)),
            *('--cfg-options', *(f'{key}={value}' for key, value in options.items())),
        ]


SETTINGS = [Setting(*parts) for parts in itertools.product((1, 2), (True, False), (0, 2, 4))]


class Run:
    """A start of a command, with all of its processes."""

    def __init__(self, setting: Setting, arguments: list[str], port: int, log: Path) -> None:
        command = [sys.executable, 'tools/train.py', *arguments]
        if setting.processes > 1:
            command = ['bash', 'tools/dist_train.sh', arguments[0], str(setting.processes)]
            command += arguments[1:]
        with log.open('w') as out:
            self.process = psutil.Popen(
                command,
                cwd=ROOT,
                env=dict(os.environ, PYTHON=sys.executable, PORT=str(port), OMP_NUM_THREADS='1'),
                stdout=out,
                stderr=out,
            )

    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """Kill all of its processes; torchrun's are no group."""
        family = [self.process, *self.process.children(recursive=True)]
        for part in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                part.kill()
        psutil.wait_procs(family)


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    """Of the last checkpoint; every other one is read too.

    Raises:
        RuntimeError: One is not whole, or a torn one was left behind.
    """
    if writing(work_dir):
        raise RuntimeError(f'{work_dir} holds what was left of a checkpoint')
    for path in work_dir.glob('*.pth'):
        torch.load(path, weights_only=False)
    last = work_dir / (work_dir / 'last_checkpoint').read_text()
    content = torch.load(last, weights_only=False)
    if content['meta']['iter'] != EPOCHS * STEPS:
        raise RuntimeError(f'{last} is of iteration {content["meta"]["iter"]}')
    return content['state_dict']


def begun(work_dir: Path) -> int:
    """Bytes of the logs: they grow with every step."""
    return sum(path.stat().st_size for path in work_dir.glob('*/vis_data/scalars.json'))


def writing(work_dir: Path) -> bool:
    """Whether a checkpoint is being written."""
    return any(name.startswith('.') and '.pth.' in name for name in os.listdir(work_dir))


def wait_for(condition: Callable[[], bool], run: Any) -> None:
    """Wait until it is so, or the run has ended."""
    start = time.monotonic()
    while run.code() is None and not condition():
        if time.monotonic() - start > LONGEST:
            run.kill()
            raise RuntimeError(f'nothing happened for {LONGEST:g} s')
        time.sleep(0.001)


def one_run(
    start: Callable[[], Any], work_dir: Path, kills: int, draw: random.Random, done: dict
) -> None:
    """Kill a run some times, and let it come to its end.

    Args:
        start: Starts or resumes it.
        work_dir: Its work dir.
        kills: How often to kill it; a run that ends sooner is killed less often.
        draw: When.
        done: Counts the kills, and those while a checkpoint was written.

    Raises:
        RuntimeError: It ended with an error.
    """
    done.update(kills=0, writing=0)
    work_dir.mkdir(parents=True, exist_ok=True)
    while True:
        run = start()
        if done['kills'] < kills:
            before = begun(work_dir)
            wait_for(lambda before=before: begun(work_dir) > before, run)
            if draw.random() < 0.5:
                wait_for(lambda: writing(work_dir), run)
                time.sleep(draw.uniform(0, 0.05))
            else:
                time.sleep(draw.uniform(0, 2))
        else:
            wait_for(lambda: False, run)
        if run.code() is None:
            done['writing'] += writing(work_dir)
            done['kills'] += 1
            run.kill()
        elif run.code() == 0:
            return
        else:
            raise RuntimeError(f'{work_dir} ended with {run.code()}')


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    draw, rows, failed = random.Random(args.seed), [], 0
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder, 'scenes')
        make_scenes(scenes, 60, size=128, val_fraction=0.2)
        whole: dict[int, dict] = {}

        log = Path(folder, 'log')

        def run(setting: Setting, place: str, kills: int, done: dict) -> dict:
            work_dir = Path(folder, place)
            arguments = setting.arguments(scenes, work_dir)
            port = draw.randint(20000, 30000)
            one_run(lambda: Run(setting, arguments, port, log), work_dir, kills, draw, done)
            return weights(work_dir)

        for number, setting in enumerate(itertools.cycle(SETTINGS)):
            left = args.kills - sum(row['kills'] for row in rows)
            if left <= 0 or failed == 5:
                break
            if setting.processes not in whole:
                whole[setting.processes] = run(setting, f'whole_{setting.processes}', 0, {})
            row = dict(setting._asdict())
            try:
                found = run(setting, f'run_{number}', min(KILLS_OF_A_RUN, left), row)
                expected = whole[setting.processes]
                row['equal'] = all(
                    torch.equal(found[name], part) for name, part in expected.items()
                )
            except RuntimeError as error:
                row.update(error=f'{error}: {log.read_text()[-2000:]}', equal=False)
            rows.append(row)
            failed += not row['equal']
            print(row, flush=True)
    kills, survived = (sum(r['kills'] for r in rows if r['equal'] or every) for every in (1, 0))
    print(f'{survived} of {kills} kills survived')
    if args.out:
        results = dict(kills=kills, survived=survived, failed=failed, runs=rows)
        write(dict(environment=environment('tests.faults.kill'), **results), args.out)
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
