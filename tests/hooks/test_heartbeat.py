"""Who holds up the others; and threads that end with the run."""

import contextlib
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from torch.distributed import TCPStore

from wamim_mm.hooks.heartbeat import HUNG, Beat, HeartbeatHook, compare

from .test_exact_resume import run

pytestmark = pytest.mark.usefixtures('own_instances')


def beats(*moves, number=1, **places):
    return {
        rank: Beat(number, count, f'host{rank}', f'in step {count}', 'a.py, line 1, in f')
        for rank, count in enumerate(moves)
    }


def test_who_is_named():
    before, after = beats(7, 7, 7), beats(7, 7, 7, number=4)
    assert compare(before, after, 3).startswith('all are at the same place: process 0 on host0')
    after[1] = before[1]
    assert compare(before, after, 3).startswith(
        'no heartbeat of process 1 on host1 (in step 7: a.py, line 1, in f)'
    )
    del before[2], after[2]
    assert 'and process 2 (it has not begun)' in compare(before, after, 3)
    before, after = beats(8, 7, 8), beats(8, 7, 8, number=4)
    line = compare(before, after, 3)
    assert line.startswith('behind is process 1 on host1 (in step 7: a.py, line 1, in f);')
    assert line.endswith('; others are further: in step 8')
    # One that was silent at first and beats again is not dead; a crowd is counted.
    del before[1]
    assert compare(before, after, 3).startswith('behind is process 1')
    line = compare(beats(*[3] * 1000), beats(*[3] * 1000), 1000)
    assert 'process 3 on' in line and 'process 4' not in line and 'and 996 more' in line


@pytest.fixture
def store(monkeypatch):
    """The store of a launcher."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', str(port))
    return TCPStore('127.0.0.1', port, is_master=True, wait_for_workers=False)


def test_a_run_ends_with_its_threads(store, tmp_path):
    before = set(threading.enumerate())
    run(tmp_path, hooks=[dict(type='HeartbeatHook', timeout=1800)])
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if not thread.name.startswith('checkpoints')]


@pytest.fixture
def start(tmp_path):
    """Start a process that takes some steps and then hangs; its number, and what it prints."""
    started = []

    def fork(rank, timeout, steps=0):
        file = tmp_path / f'{rank}'
        child = os.fork()
        if child == 0:
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), 2)
            log = SimpleNamespace(error=(tmp_path / 'log').write_text)
            runner = SimpleNamespace(rank=rank, world_size=2, iter=4, logger=log)
            hook = HeartbeatHook(timeout)
            hook.before_run(runner)
            hook.before_train_iter(runner, 0)
            for _ in range(steps):
                time.sleep(timeout / 2)
                hook.after_train_iter(runner, 0)
            time.sleep(60)
            os._exit(0)
        started.append(child)
        return child, file

    yield fork
    for child in started:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_process_that_is_stopped(store, start, tmp_path):
    """The other goes on for a while, and then says so in time."""
    began = time.monotonic()
    (stopped, _), (other, said) = start(1, 3), start(0, 3, steps=1)
    time.sleep(0.5)
    os.kill(stopped, signal.SIGSTOP)
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == HUNG
    # It was late, and on a busy machine threads are too.
    assert 1.5 + 0.8 * 3 < time.monotonic() - began < 1.5 + 3 + 2
    text = said.read_text()
    assert f'no heartbeat of process 1 on {socket.gethostname()} (in step 5: {__file__}' in text
    assert 'env_cfg.dist_cfg.timeout=3)' in text and (tmp_path / 'log').read_text() == text.strip()


def test_a_process_that_has_not_begun(store, start):
    other, said = start(0, 2)
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == HUNG
    assert 'no heartbeat of process 1 (it has not begun)' in said.read_text()


def test_a_store_that_does_not_answer(start, monkeypatch):
    """The launcher, which has the store, is stopped."""
    reading, writing = os.pipe()
    launcher = os.fork()
    if launcher == 0:
        store = TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
        os.write(writing, str(store.port).encode())
        time.sleep(60)
        os._exit(0)
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', os.read(reading, 9).decode())
    try:
        process, said = start(1, 2)
        time.sleep(0.5)
        os.kill(launcher, signal.SIGSTOP)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == HUNG
        assert 'the store of the launcher at 127.0.0.1 does not answer' in said.read_text()
    finally:
        os.kill(launcher, signal.SIGKILL)
        os.waitpid(launcher, 0)


@pytest.fixture
def together(tmp_path):
    """Start two processes that beat; one of them does something; what both say and end with."""
    started = []

    def run(act, wait=lambda hook: time.sleep(60), period=0.05):
        for rank, work in ((0, wait), (1, act)):
            child = os.fork()
            if child == 0:
                os.dup2(os.open(tmp_path / f'{rank}', os.O_CREAT | os.O_WRONLY), 2)
                hook = HeartbeatHook(1800)
                hook.period = period
                hook.begin(rank, 2)
                time.sleep(0.5)
                said = work(hook)
                os.write(2, f'{said}\n'.encode())
                os._exit(0)
            started.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]
        return codes, [(tmp_path / f'{rank}').read_text().strip() for rank in (0, 1)]

    yield run
    for child in started:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)


FAILED = f'process 1 on {socket.gethostname()} has failed: no data there'
NETWORK = RuntimeError('[/a/gloo/transport/tcp/pair.cc:561] Connection closed by peer [10.0.0.2]')


def test_a_failure_ends_those_that_wait_for_it(store, together):
    """As with NCCL, which tells them nothing; they are preparing the run, and nothing is late."""
    codes, said = together(lambda hook: hook.failed(OSError('no data'), 'no data there'))
    assert codes == [1, 0]
    assert said == [f'{FAILED}. The processes that wait for it end', 'None']


def test_an_error_of_the_network_is_explained(store, together):
    """By what the other has said; its own text says nothing that helps."""

    def hear(hook):
        time.sleep(0.3)
        return hook.failed(NETWORK, str(NETWORK))

    codes, said = together(lambda hook: hook.failed(OSError('no data'), 'no data there'), hear)
    assert codes == [0, 0] and said == [FAILED, 'None']


def test_a_killed_process_is_named(store, together):
    def hear(hook):
        time.sleep(0.3)
        return hook.failed(NETWORK, str(NETWORK))

    codes, said = together(lambda hook: os.kill(os.getpid(), signal.SIGKILL), hear)
    assert codes == [0, -signal.SIGKILL]
    assert said[0].startswith(f'no heartbeat of process 1 on {socket.gethostname()} (prepares')
    assert said[0].endswith('which was killed or stopped, or whose machine or network is gone')


def test_nobody_is_named_who_lives(store, together):
    """Nobody knows then; the error of the network has to do."""

    def fail(hook):
        said = hook.failed(NETWORK, str(NETWORK))
        time.sleep(1)
        return said

    codes, said = together(fail, fail)
    assert codes == [0, 0] and said == ['None', 'None']


def test_places(monkeypatch):
    """In the order of a run; only what every process does counts as a move."""
    hook, runner = HeartbeatHook(1800), SimpleNamespace(iter=4)
    hook._moves = 0
    seen = []
    for call, arguments in (
        ('before_train_epoch', ()),
        ('before_train_iter', (0, None)),
        ('after_train_iter', (0, None, None)),
        ('before_save_checkpoint', ({},)),
        ('after_train_epoch', ()),
        ('before_val_iter', (2, None)),
    ):
        getattr(hook, call)(runner, *arguments)
        seen.append((hook._moves, hook._place))
    assert seen == [
        (1, 'waits for the first batch (train)'),
        (2, 'in step 5'),
        (3, 'waits for the data after step 5'),
        (3, 'saves a checkpoint'),
        (4, 'at the end of an epoch (train)'),
        (5, 'in batch 3 (val)'),
    ]
