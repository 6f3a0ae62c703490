"""Two processes, one of which is stopped, hangs or is killed; and a run that is told to stop.

python -m tests.faults.ranks [--out FILE] [CASE ...]
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import psutil
import torch

from benchmarks.measure import environment, write
from wamim_mm.demo.scenes import make_scenes

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = """
_base_ = '{root}/configs/demo/wamim_vit.py'
custom_imports = dict(imports=['wamim_mm', 'tests.faults.ranks_parts'])
custom_hooks = [dict(type='Told', folder='{folder}', seconds={seconds})]
train_pipeline = [
    dict(type='LoadRandomResizedCrop', scale=128),
    dict(type='Hang', process={process}, sample={sample}),
    dict(type='RandomDraw'),
    dict(type='PackInputs', algorithm_keys=['draw'])]
train_dataloader = dict(
    batch_size=2, num_workers={workers}, persistent_workers={workers} > 0,
    dataset=dict(data_root='{scenes}', pipeline=train_pipeline))
model = dict(backbone=dict(arch=dict(
    embed_dims=48, num_layers=6, num_heads=2, feedforward_channels=96)))
train_cfg = dict(max_epochs=2)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=5, max_keep_ckpts=9))
env_cfg = dict(dist_cfg=dict(timeout={timeout}))
"""
STEPS = 24  # two epochs of twelve


class Job:
    """A run of tools/dist_train.sh with two processes.

    Args:
        folder: Of its own; the work dir is in there.
        scenes: Where the images are.
        arguments: For tools/train.py.
        restarts: How often torchrun may start the processes again.
        plain: Whether torchrun itself is started, without tools/dist_train.sh.
        values: For the config.
    """

    def __init__(
        self,
        folder: Path,
        scenes: Path,
        *arguments: str,
        restarts: int = 0,
        plain: bool = False,
        **values,
    ):
        folder.mkdir(exist_ok=True)
        for old in folder.glob('[01]'):
            old.unlink()
        self.folder, self.work_dir = folder, folder / 'run'
        given = dict(seconds=0.2, process=-1, sample=0, workers=0, timeout=1800) | values
        config = folder / 'config.py'
        config.write_text(CONFIG.format(root=ROOT, folder=folder, scenes=scenes, **given))
        self.started = time.monotonic()
        self._out = (folder / 'out').open('w+')
        port = str(random.randint(20000, 29000))
        command: list = ['bash', 'tools/dist_train.sh', config, '2']
        if plain:
            command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
            command += [f'--master_port={port}', f'--max-restarts={restarts}']
            command += ['tools/train.py', config, '--launcher', 'pytorch']
        self.process = subprocess.Popen(
            [*command, '--work-dir', self.work_dir, *arguments],
            cwd=ROOT,
            env=dict(
                os.environ,
                PYTHON=sys.executable,
                PYTHONPATH=str(ROOT),
                OMP_NUM_THREADS='1',
                PORT=port,
                MAX_RESTARTS=str(restarts),
            ),
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def place(self, rank: int) -> tuple[int, int]:
        """The id of a process, and the step that it is in; -1 before the first."""
        file = self.folder / str(rank)
        if not file.is_file():
            return 0, -1
        pid, step = file.read_text().split()
        return int(pid), int(step)

    def wait_for(self, step: int, rank: int = 1) -> int:
        """Wait until a process is in a step; return its id."""
        while self.place(rank)[1] < step:
            if self.process.poll() is not None or time.monotonic() - self.started > 120:
                raise AssertionError(f'it did not come to step {step}: {self.text()[-2000:]}')
            time.sleep(0.02)
        return self.place(rank)[0]

    def wait_for_text(self, pattern: str, seconds: float) -> float:
        """Wait until it has printed something; return how long that took."""
        began = time.monotonic()
        while not re.search(pattern, self.text()):
            if time.monotonic() - began > seconds:
                raise AssertionError(f'no {pattern!r} in {seconds} s: {self.text()[-2000:]}')
            time.sleep(0.05)
        return time.monotonic() - began

    def end(self, seconds: float = 120) -> int:
        """Wait for its end, and see that none of its processes is left; return its exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'it does not end: {self.text()[-2000:]}') from None
        until = time.monotonic() + 10  # data workers look every five seconds
        while left := self.left():
            assert time.monotonic() < until, f'left are {left}'
            time.sleep(0.1)
        return code

    def left(self) -> list[int]:
        """Both processes and their data workers, of those that live."""
        groups = {self.place(rank)[0] for rank in (0, 1)}
        found = []
        for pid in psutil.pids():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(pid) in groups and psutil.Process(pid).status() != 'zombie':
                    found.append(pid)
        return found

    def text(self) -> str:
        """What it has printed."""
        return (self.folder / 'out').read_text()

    def weights(self) -> dict[str, torch.Tensor]:
        """Those at its end."""
        file = self.work_dir / f'iter_{STEPS}.pth'
        return torch.load(file, weights_only=False)['state_dict']

    def kill(self) -> None:
        """Leave nothing of it."""
        for pid in (self.process.pid, *self.left()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._out.close()


@contextmanager
def job(*args, **kwargs):
    """A `Job` of which nothing is left afterwards."""
    running = Job(*args, **kwargs)
    try:
        yield running
    finally:
        running.kill()


def unbroken(folder: Path, scenes: Path) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing happens to."""
    with job(folder / 'unbroken', scenes, seconds=0) as run:
        assert run.end() == 0, run.text()
        return run.weights()


def stopped(folder: Path, scenes: Path, rank: int, timeout: float = 20) -> str:
    """A process that is stopped, not killed, is named within the timeout."""
    with job(folder, scenes, timeout=timeout) as run:
        os.kill(run.wait_for(3, rank), signal.SIGSTOP)
        named = run.wait_for_text(f'no heartbeat of process {rank} on ', timeout)
        began = time.monotonic()
        assert run.end() == 1  # torchrun's
        return f'named after {named:.1f} s, gone {time.monotonic() - began:.1f} s later'


def hung_data(folder: Path, scenes: Path, timeout: float = 20, workers: int = 0) -> str:
    """A process whose data do not come is named within the timeout, with the line that hangs."""
    with job(folder, scenes, timeout=timeout, process=1, sample=8, workers=workers) as run:
        run.wait_for(2)
        line = r'\S+.py, line \d+, in' if workers else r'\S+/ranks_parts.py, line \d+, in'
        named = run.wait_for_text(
            rf'behind is process 1 on \S+ \(waits for the data after step \d+: {line} .*\); '
            r'others are further: in step \d+',
            timeout + 2,
        )
        began = time.monotonic()
        assert run.end() == 1
        return f'named after {named:.1f} s, gone {time.monotonic() - began:.1f} s later'


def killed(folder: Path, scenes: Path) -> str:
    """A process that is killed ends the other, and is named by torchrun."""
    with job(folder, scenes) as run:
        os.kill(run.wait_for(3), signal.SIGKILL)
        began = time.monotonic()
        assert run.end(30) == 1
        took = time.monotonic() - began
        assert re.search(r'Signal 9 \(SIGKILL\)|exitcode: -9', run.text()), run.text()
        assert took < 25, took
        return f'gone after {took:.1f} s'


def launcher_killed(folder: Path, scenes: Path, weights: dict) -> str:
    """torchrun alone is killed; its processes save and end, and the work dir is free."""
    with job(folder, scenes) as run:
        run.wait_for(3)
        began = time.monotonic()
        os.kill(run.process.pid, signal.SIGKILL)
        while run.left():
            assert time.monotonic() - began < 40, f'left are {run.left()}'
            time.sleep(0.1)
        assert run.end() == -signal.SIGKILL
        took = time.monotonic() - began
        _saved(run)
    return f'all have ended after {took:.1f} s' + resume(folder, scenes, weights)


def restarted(
    folder: Path, scenes: Path, weights: dict, step: int | None = None, plain: bool = False
) -> str:
    """A process is killed somewhere; torchrun starts both again, and nothing is different."""
    rank = random.randrange(2)
    step = random.randrange(2, STEPS - 2) if step is None else step
    with job(folder, scenes, restarts=1, plain=plain) as run:
        os.kill(run.wait_for(step, rank), signal.SIGKILL)
        assert run.end() == 0, run.text()
        _same(run.weights(), weights)
        return f'process {rank} was killed in step {step}'


def told(folder: Path, scenes: Path, weights: dict, tell: Callable[[Job], None], step=3) -> str:
    """A run that is told to stop saves and says so; with --resume it ends as an unbroken one."""
    return f'ended after {stop(folder, scenes, tell, step):.1f} s' + resume(folder, scenes, weights)


def stop(folder: Path, scenes: Path, tell: Callable[[Job], None], step: int = 3) -> float:
    """Tell a run to stop; the seconds until it has ended, with code 75 and a checkpoint."""
    with job(folder, scenes, workers=2) as run:
        run.wait_for(step)
        began = time.monotonic()
        tell(run)
        code = run.end()
        took = time.monotonic() - began
        assert code == 75, (code, run.text())
        _saved(run)
        return took


def time_is_up(folder: Path, scenes: Path, weights: dict, restarts: int = 2) -> str:
    """--max-hours; torchrun, which may restart the processes, does not."""
    with job(folder, scenes, '--max-hours', '0.0003', restarts=restarts) as run:
        code = run.end()
        assert code == 75, (code, run.text())
        _saved(run)
    return 'ended' + resume(folder, scenes, weights)


def _saved(run: Job) -> None:
    found = re.search(r'saved .*interrupted.pth after iteration (\d+); the same', run.text())
    assert found and int(found[1]) in (10, 20), run.text()
    saved = torch.load(run.work_dir / 'interrupted.pth', weights_only=False)
    assert saved['meta']['iter'] == int(found[1])


def resume(folder: Path, scenes: Path, weights: dict) -> str:
    """Go on with a run; it ends with the given weights."""
    with job(folder, scenes, '--resume', seconds=0) as run:
        assert run.end() == 0, run.text()
        assert 'resumed' in run.text().lower()
        _same(run.weights(), weights)
    return ', resumed to the same weights'


def _same(ours: dict, others: dict) -> None:
    assert ours.keys() == others.keys()
    for name in ours:
        assert torch.equal(ours[name], others[name]), name


def one(number: signal.Signals) -> Callable[[Job], None]:
    """A signal to the command that was started."""
    return lambda run: os.kill(run.process.pid, number)


def group(number: signal.Signals) -> Callable[[Job], None]:
    """A signal to all processes, which get it once more from torchrun."""

    def tell(run: Job) -> None:
        os.killpg(run.process.pid, number)
        for rank in (0, 1):
            with suppress(ProcessLookupError):
                os.killpg(run.place(rank)[0], number)

    return tell


#: Name -> a case, which is given a folder, the images and the weights of an unbroken run.
CASES: dict[str, Callable[[Path, Path, dict], str]] = {
    'process 1 is stopped': lambda f, s, w: stopped(f, s, 1),
    'process 0 is stopped': lambda f, s, w: stopped(f, s, 0),
    'the data of process 1 hang': lambda f, s, w: hung_data(f, s),
    'a data worker of process 1 hangs': lambda f, s, w: hung_data(f, s, workers=1),
    'process 1 is killed': lambda f, s, w: killed(f, s),
    'torchrun is killed': launcher_killed,
    'killed before the first checkpoint and restarted': lambda f, s, w: restarted(f, s, w, 2),
    'killed anywhere and restarted': restarted,
    'killed and restarted by torchrun alone': lambda f, s, w: restarted(f, s, w, plain=True),
    'SIGTERM': lambda f, s, w: told(f, s, w, one(signal.SIGTERM)),
    'SIGUSR1': lambda f, s, w: told(f, s, w, one(signal.SIGUSR1)),
    'SIGINT': lambda f, s, w: told(f, s, w, one(signal.SIGINT)),
    'SIGTERM to all processes': lambda f, s, w: told(f, s, w, group(signal.SIGTERM)),
    'SIGINT to all processes': lambda f, s, w: told(f, s, w, group(signal.SIGINT)),
    'SIGTERM before the last step of an epoch': lambda f, s, w: told(
        f, s, w, one(signal.SIGTERM), 11
    ),
    'the time is up': time_is_up,
}


def run_cases(
    module: str,
    doc: str,
    cases: dict[str, Callable[..., str]],
    where: AbstractContextManager[tuple],
) -> None:
    """A command that runs the cases that are named, or all; it ends with 1 if one fails.

    Args:
        module: The script's name.
        doc: Its docstring.
        cases: What is tried, by name: given what ``where`` yields, a folder, the images and the
            weights of an unbroken run, it returns what it has seen.
        where: Open while cases run.
    """
    parser = argparse.ArgumentParser(prog=f'python -m {module}', description=doc.splitlines()[0])
    parser.add_argument('cases', nargs='*', metavar='CASE', help=', '.join(cases))
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    for name in set(args.cases) - cases.keys():
        parser.error(f'no case {name!r}')
    found: dict[str, str] = {}
    failed = []
    with tempfile.TemporaryDirectory() as name, where as given:
        folder = Path(name)
        scenes = folder / 'scenes'
        make_scenes(scenes, 60, size=128, val_fraction=0.2)
        weights = unbroken(folder, scenes)
        names = args.cases or list(cases)
        for i, case in enumerate(names):
            try:
                found[case] = cases[case](*given, folder / f'case{i}', scenes, weights)
                print(f'{case}: {found[case]}', flush=True)
            except AssertionError as error:
                failed.append(case)
                print(f'{case}: FAILED: {str(error)[-6000:]}', flush=True)
    if args.out:
        results = dict(cases=len(names), failed=len(failed), failures=failed, found=found)
        write(dict(environment=environment(module), **results), args.out)
    sys.exit(bool(failed))


if __name__ == '__main__':
    run_cases('tests.faults.ranks', __doc__, CASES, nullcontext(()))
