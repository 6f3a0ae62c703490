"""Two machines, which are network namespaces: one is cut off, killed, or not like the other.

python -m tests.faults.machines [--out FILE] [CASE ...]

It needs Linux, root and iproute2.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from .ranks import CONFIG, ROOT, STEPS, Job, run_cases

PORT = '29500'  # of their own, as their networks are
LOST = (
    r'no heartbeat of process {0} on node{0} \(.*\), which was killed or stopped, or whose machine '
    'or network is gone'
)
NO_STORE = r'the store of the launcher at 10\.77\.0\.10 does not answer'


def missing() -> str:
    """Why there can be no such machines here; empty where there can."""
    if sys.platform != 'linux' or os.geteuid() != 0:
        return 'network namespaces need Linux and root'
    if shutil.which('ip') is None or shutil.which('unshare') is None:
        return 'there is no ip or unshare; install iproute2 and util-linux'
    name = f'wamim-{os.getpid()}-try'
    made = subprocess.run(['ip', 'netns', 'add', name], capture_output=True, text=True)
    if made.returncode:
        return f'the kernel makes no network namespace: {made.stderr.strip()}'
    ip('netns', 'del', name)
    return ''


def ip(*arguments: str) -> str:
    """What iproute2 answers."""
    return subprocess.run(['ip', *arguments], check=True, capture_output=True, text=True).stdout


class Network:
    """Two machines, node0 and node1, at a switch; their names are known to nobody."""

    def __init__(self) -> None:
        self._switch = f'wamim-{os.getpid()}-switch'
        self.names = [f'wamim-{os.getpid()}-{i}' for i in (0, 1)]

    def build(self) -> None:
        ip('netns', 'add', self._switch)
        ip('-n', self._switch, 'link', 'add', 'name', 'bridge0', 'type', 'bridge')
        ip('-n', self._switch, 'link', 'set', 'dev', 'bridge0', 'up')
        for i, name in enumerate(self.names):
            ip('netns', 'add', name)
            here, there = ['name', 'eth0', 'netns', name], ['name', f'port{i}', 'netns']
            ip('link', 'add', *here, 'type', 'veth', 'peer', *there, self._switch)
            ip('-n', self._switch, 'link', 'set', f'port{i}', 'master', 'bridge0', 'up')
            ip('-n', name, 'addr', 'add', f'{self.address(i)}/24', 'dev', 'eth0')
            for link in ('lo', 'eth0'):
                ip('-n', name, 'link', 'set', link, 'up')

    @staticmethod
    def address(i: int) -> str:
        return f'10.77.0.1{i}'

    def link(self, i: int, state: str) -> None:
        """Take a machine off the network, or put it back."""
        ip('-n', self.names[i], 'link', 'set', 'eth0', state)

    def command(self, i: int) -> list[str]:
        """What starts a command on a machine."""
        named = f'hostname node{i}; exec "$@"'
        return ['ip', 'netns', 'exec', self.names[i], 'unshare', '--uts', 'sh', '-c', named, 'sh']

    def processes(self, i: int) -> list[int]:
        """All that run on a machine."""
        done = subprocess.run(
            ['ip', 'netns', 'pids', self.names[i]], capture_output=True, text=True
        )
        return [int(pid) for pid in done.stdout.split()]

    def kill(self, i: int) -> None:
        """What the loss of a machine's power does to its processes."""
        while pids := self.processes(i):  # some start others meanwhile
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def remove(self) -> None:
        for i in (0, 1):
            self.kill(i)
        for name in (*self.names, self._switch):
            with suppress(subprocess.CalledProcessError):  # it was not built
                ip('netns', 'del', name)


@contextmanager
def network() -> Iterator[Network]:
    """Machines of which nothing is left afterwards."""
    made = Network()
    try:
        made.build()
        yield made
    finally:
        made.remove()


class MachinesJob(Job):
    """A run of tools/dist_train.sh on both machines, with a process on each.

    Args:
        net: The machines.
        folder: Of the run; the work dir is in there, and both machines see it.
        scenes: Where the images are.
        arguments: For tools/train.py.
        restarts: How often torchrun may start the processes again.
        nodes: The number of machines, or the least and the greatest one.
        other: More arguments, for the second machine alone.
        root: Where the second machine has the project.
        values: For the config.
    """

    def __init__(
        self,
        net: Network,
        folder: Path,
        scenes: Path,
        *arguments: str,
        restarts: int = 0,
        nodes: str = '2',
        other: tuple[str, ...] = (),
        root: Path = ROOT,
        **values,
    ):
        folder.mkdir(exist_ok=True)
        for old in folder.glob('[01]'):
            old.unlink()
        self.net, self.folder, self.work_dir = net, folder, folder / 'run'
        given = dict(seconds=0.2, process=-1, sample=0, workers=0, timeout=20) | values
        config = folder / 'config.py'
        config.write_text(CONFIG.format(root=ROOT, folder=folder, scenes=scenes, **given))
        self.started = time.monotonic()
        self._command = ['bash', 'tools/dist_train.sh', config, '1', '--work-dir', self.work_dir]
        self._command += arguments
        self._roots, self._other = (ROOT, root), other
        self._environment = dict(
            {k: v for k, v in os.environ.items() if not k.endswith('SOCKET_IFNAME')},
            PYTHON=sys.executable,
            OMP_NUM_THREADS='1',
            NNODES=nodes,
            MASTER_ADDR=net.address(0),
            PORT=PORT,
            MAX_RESTARTS=str(restarts),
            JOIN_TIMEOUT='60',
        )
        self.machines = [self.start(i) for i in (0, 1)]
        self.process = self.machines[0]

    def start(self, i: int) -> subprocess.Popen:
        """The command on one machine."""
        root = self._roots[i]
        with (self.folder / f'out{i}').open('w') as out:
            return subprocess.Popen(
                [*self.net.command(i), *self._command, *(self._other if i else ())],
                cwd=root,
                env=dict(self._environment, NODE_RANK=str(i), PYTHONPATH=str(root)),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end_of(self, i: int, seconds: float = 120) -> int:
        """Wait for the end on one machine; return its exit code."""
        try:
            return self.machines[i].wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'node{i} does not end: {self.text()[-3000:]}') from None

    def end(self, seconds: float = 120) -> int:
        """Wait for the end on both; return the greater exit code."""
        code = max(self.end_of(i, seconds) for i in (0, 1))
        until = time.monotonic() + 10
        while left := [pid for i in (0, 1) for pid in self.net.processes(i)]:
            assert time.monotonic() < until, f'left are {left}'
            time.sleep(0.1)
        return code

    def said(self, i: int) -> str:
        """What a machine has printed."""
        return (self.folder / f'out{i}').read_text()

    def text(self) -> str:
        return f'node0: {self.said(0)[-2500:]}\nnode1: {self.said(1)[-2500:]}'

    def kill(self) -> None:
        for i in (0, 1):
            self.net.link(i, 'up')
            self.net.kill(i)
            self.machines[i].wait()


@contextmanager
def job(*args, **kwargs):
    """A job of which nothing is left afterwards."""
    running = MachinesJob(*args, **kwargs)
    try:
        yield running
    finally:
        running.kill()


def finished(run: MachinesJob, weights: dict[str, torch.Tensor]) -> None:
    """See that it ends well, as if nothing had happened."""
    assert run.end() == 0, run.text()
    ours = run.weights()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[name], weights[name]) for name in ours)


def train(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """Both train, to the weights of two processes on one machine."""
    with job(net, folder, scenes, seconds=0) as run:
        finished(run, weights)
    return 'the weights of two processes on one machine'


def lost(
    net: Network,
    folder: Path,
    scenes: Path,
    weights: dict | None,
    how: str,
    who: int = 1,
    timeout: float = 20,
) -> str:
    """A machine is gone in the middle; the other names it and ends; --resume goes on.

    Args:
        net: The machines.
        folder: Of the run.
        scenes: Where the images are.
        weights: Of an unbroken run; None to leave out the resume.
        how: 'cut' or 'killed'.
        who: The machine.
        timeout: After which processes give each other up.
    """
    other = 1 - who
    with job(net, folder, scenes, timeout=timeout) as run:
        run.wait_for(8, rank=other)
        began = time.monotonic()
        net.kill(who) if how == 'killed' else net.link(who, 'down')
        code = run.end_of(other, 60)
        took = time.monotonic() - began
        assert code == 1, code  # torchrun's
        pattern = NO_STORE if who == 0 else LOST.format(who)
        assert re.search(pattern, run.said(other)), run.text()
        if how == 'cut':
            assert run.end_of(who, 60) == 1  # it sees the same of the other
            pattern = NO_STORE if who == 1 else LOST.format(other)
            assert re.search(pattern, run.said(who)), run.text()
    named = 'the launcher on node0' if who == 0 else f'process {who} on node{who}'
    said = f'node{other} names {named} and has ended after {took:.1f} s'
    if weights is None:
        return said
    with job(net, folder, scenes, '--resume', seconds=0) as run:
        finished(run, weights)
        assert 'resumed' in run.said(0).lower()
    return f'{said}; resumed to the same weights'


def blinks(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """The link is down for a moment, and nothing is different."""
    with job(net, folder, scenes) as run:
        run.wait_for(8)
        net.link(1, 'down')
        time.sleep(3)
        net.link(1, 'up')
        finished(run, weights)
    return 'down for 3 s; the same weights'


def process_killed(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """One process is killed; torchrun starts both again, and both resume, without --resume."""
    with job(net, folder, scenes, restarts=1) as run:
        os.kill(run.wait_for(8), signal.SIGKILL)
        finished(run, weights)
    return 'both were started again; the same weights'


def comes_back(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """A machine is killed, and its command is given again, as it was."""
    with job(net, folder, scenes, restarts=1) as run:
        run.wait_for(8)
        net.kill(1)
        run.machines[1].wait()
        named = run.wait_for_text(LOST.format(1), 40)
        run.machines[1] = run.start(1)
        finished(run, weights)
    return f'named after {named:.1f} s; the same weights once it was back'


def what_is_left(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """NNODES=1:2: where a machine is gone, the other goes on alone, with half of the batch."""
    with job(net, folder, scenes, restarts=1, nodes='1:2') as run:
        run.wait_for(8)
        net.kill(1)
        assert run.end_of(0) == 0, run.text()
        assert 'iterations in an epoch 12 -> 24' in run.said(0), run.text()
        assert (run.work_dir / f'iter_{2 * STEPS}.pth').is_file()
    return 'node0 goes on from the checkpoint, in a world of one'


def joins_again(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """NNODES=1:2: the other goes on alone, until the machine is there again and joins."""
    with job(net, folder, scenes, restarts=1, nodes='1:2') as run:
        run.wait_for(8)
        net.kill(1)
        run.machines[1].wait()
        run.wait_for_text('iterations in an epoch 12 -> 24', 60)
        (run.folder / '1').unlink()
        run.machines[1] = run.start(1)
        assert run.end() == 0, run.text()
        assert run.place(1)[1] > 8, run.text()
        assert 'iterations in an epoch 24 -> 12' in run.said(0), run.text()
        assert (run.work_dir / f'iter_{STEPS}.pth').is_file()
    return 'node0 goes on alone, saves when node1 joins, and both go on from there'


def differ(net: Network, folder: Path, scenes: Path, said: str, **kwargs) -> str:
    """The second machine is not like the first; both end before the first step, and say why."""
    with job(net, folder, scenes, **kwargs) as run:
        code = run.end()
        took = time.monotonic() - run.started
        assert code == 1, (code, run.text())
        assert run.place(0)[1] == -1, 'a step was done'
        for i in (0, 1):
            lines = [line for line in run.said(i).splitlines() if re.search(said, line)]
            assert lines, run.text()
    return f'{took:.0f} s after the start: {lines[0]}'


def other_config(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    option = ('--cfg-options', 'optim_wrapper.optimizer.weight_decay=0.3')
    said = (
        r'process 1 on node1 differs from process 0 on node0: optim_wrapper.optimizer.weight_decay '
        r'is 0\.3 there, and 0\.05 on node0'
    )
    return differ(net, folder, scenes, said, other=option)


def other_data(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """A file is missing in the copy of the data on the second machine."""
    folder.mkdir(exist_ok=True)
    copy = folder / 'scenes'
    shutil.copytree(scenes, copy)
    next(iter(sorted((copy / 'train').rglob('*.jpg')))).unlink()
    said = r'the number of images of train_dataloader is 47 there, and 48 on node0'
    return differ(
        net,
        folder,
        scenes,
        said,
        other=('--cfg-options', f'train_dataloader.dataset.data_root={copy}'),
    )


def no_data(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """The second machine has no data; the first hears of it."""
    said = r"data root '/nowhere' does not exist"
    option = ('--cfg-options', 'train_dataloader.dataset.data_root=/nowhere')
    return differ(net, folder, scenes, said, other=option)


def other_code(net: Network, folder: Path, scenes: Path, weights: dict) -> str:
    """The second machine has another commit of the project."""
    folder.mkdir(exist_ok=True)
    root = folder / 'project'
    for name in ('wamim_mm', 'tools', 'tests', 'configs'):
        shutil.copytree(ROOT / name, root / name, symlinks=True)
    with (root / 'wamim_mm/hooks/stop.py').open('a') as file:
        file.write('# changed\n')
    said = r'process 1 on node1 differs from process 0 on node0: the file wamim_mm/hooks/stop\.py'
    return differ(net, folder, scenes, said, root=root)


#: Name -> a case, which is given machines, a folder, the images and the weights of a run on one
#: machine.
CASES: dict[str, Callable[[Network, Path, Path, dict], str]] = {
    'both train': train,
    'the link of node1 is cut': lambda *given: lost(*given, 'cut'),
    'node1 is killed': lambda *given: lost(*given, 'killed'),
    'node0 is killed': lambda *given: lost(*given, 'killed', 0),
    'the link of node1 is down for a moment': blinks,
    'a process on node1 is killed and restarted': process_killed,
    'node1 is killed and comes back': comes_back,
    'node1 is killed and node0 goes on alone': what_is_left,
    'node1 is killed and joins again': joins_again,
    'another config on node1': other_config,
    'an image less on node1': other_data,
    'no data on node1': no_data,
    'another commit on node1': other_code,
}


@contextmanager
def two_machines() -> Iterator[tuple[Network]]:
    """What the cases are given; the program ends with the reason where there can be no machines."""
    if why := missing():
        sys.exit(f'tests.faults.machines: {why}')
    with network() as net:
        yield (net,)


if __name__ == '__main__':
    run_cases('tests.faults.machines', __doc__, CASES, two_machines())
