"""The exit code of torchrun; tests/faults/ranks.py runs the real one."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch.distributed.run
from torch.distributed import DistNetworkError, DistStoreError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import (
    RendezvousConnectionError,
    RendezvousTimeoutError,
)

from wamim_mm.cli import torchrun as module
from wamim_mm.cli.torchrun import main, meeting
from wamim_mm.launcher_notes import BEGUN, SAVED


@pytest.fixture
def code(monkeypatch):
    """What the command ends with where torchrun does this."""

    def run(torchrun):
        before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr('sys.argv', ['torchrun', 'train.py'])
        monkeypatch.setenv(SAVED, 'to be replaced')
        for name in (BEGUN, 'TORCH_DISABLE_SHARE_RDZV_TCP_STORE'):  # set for good, by design
            monkeypatch.setenv(name, 'to be replaced')
        monkeypatch.setattr(torch.distributed.run, 'main', torchrun)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGUSR1, before[0])
            signal.signal(signal.SIGTERM, before[1])
        return ended.value.code

    return run


def save():
    Path(os.environ[SAVED]).write_text('end')


def on_sigterm():
    """As torchrun does: it listens, gets the signal, passes it on, and raises this."""

    def listen(number, frame):
        raise SignalException('told', signal.Signals(number))

    signal.signal(signal.SIGTERM, listen)


def test_codes(code):
    assert code(lambda: None) == 0
    assert code(save) == 75

    def told(number, saves):
        on_sigterm()
        try:
            os.kill(os.getpid(), number)
        except SignalException:
            if saves:
                save()
            raise

    for number in (signal.SIGTERM, signal.SIGUSR1):
        assert code(lambda number=number: told(number, True)) == 75
        assert code(lambda number=number: told(number, False)) == 143


@pytest.mark.parametrize(
    ('given', 'nodes', 'rank', 'restarts', 'backend', 'endpoint'),
    [
        ({}, (1, 1), 0, 0, 'static', '127.0.0.1:29500'),
        (dict(PORT='1', NNODES='1', NODE_RANK='0'), (1, 1), 0, 0, 'static', 'a:1'),
        (dict(MAX_RESTARTS='3'), (1, 1), 0, 3, 'c10d', '127.0.0.1:29500'),
        (dict(NNODES='8', NODE_RANK='3'), (8, 8), 3, 0, 'static', 'a:29500'),
        (dict(NNODES='8', NODE_RANK='0', MAX_RESTARTS='3'), (8, 8), 0, 3, 'c10d', 'a:29500'),
        (dict(NNODES='8', NODE_RANK='3', MAX_RESTARTS='3'), (8, 8), 3, 3, 'c10d', 'a:29500'),
        (dict(NNODES='6:8', NODE_RANK='7', PORT='2'), (6, 8), 7, 0, 'c10d', 'a:2'),
    ],
)
def test_how_machines_meet(given, nodes, rank, restarts, backend, endpoint, monkeypatch):
    """As torchrun itself reads it."""
    monkeypatch.setattr(module, '_wait_for_name', lambda first: None)
    monkeypatch.setattr(module, 'public_address', lambda first: 'this-machine')
    if 'NNODES' in given:
        given = given | dict(MASTER_ADDR='a')
    args = torch.distributed.run.parse_args([*meeting(given), 'train.py'])
    config, _, _ = torch.distributed.run.config_from_args(args)
    assert (config.min_nodes, config.max_nodes) == nodes
    assert config.max_restarts == restarts
    assert (config.rdzv_backend, config.rdzv_endpoint) == (backend, endpoint)
    alone = given.get('MASTER_ADDR', '127.0.0.1')
    assert config.local_addr == (alone if nodes == (1, 1) else 'this-machine')
    if backend == 'static':
        assert config.rdzv_configs['rank'] == rank
        assert config.rdzv_configs['timeout'] == '600'
    else:
        assert config.rdzv_configs['is_host'] == ('true' if rank == 0 else 'false')
        assert config.rdzv_configs['join_timeout'] == '600'


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (dict(NNODES='two'), "NNODES='two' must be the number of machines"),
        (dict(NNODES='0'), "NNODES='0' must be"),
        (dict(NNODES='8:6'), "NNODES='8:6' must be"),
        (dict(NNODES='8', NODE_RANK='1'), 'NNODES=8, and MASTER_ADDR is not set'),
        (dict(NNODES='8', MASTER_ADDR='a'), 'NODE_RANK must be 0 to 7, .* got None'),
        (dict(NNODES='8', MASTER_ADDR='a', NODE_RANK='8'), "NODE_RANK must be 0 to 7, .* got '8'"),
        (dict(NNODES='1:2', MASTER_ADDR='a', NODE_RANK='2'), 'NODE_RANK must be 0 to 1'),
        (dict(PORT='http'), "PORT='http' must be a number"),
        (dict(PORT='65536'), 'PORT=65536 must be 65535 at most'),
        (dict(NODE_RANK='0'), 'NODE_RANK=0, and NNODES is not set'),
        (dict(NODE_RANK='1', MASTER_ADDR='a'), 'NODE_RANK=1, and NNODES is not set'),
        (dict(MASTER_ADDR='no.such.machine.invalid'), "MASTER_ADDR='no.such.* has no address"),
        (dict(MAX_RESTARTS='-1'), "MAX_RESTARTS='-1' must be a number"),
        (dict(MAX_RESTARTS='1', JOIN_TIMEOUT='5m'), "JOIN_TIMEOUT='5m' must be a number"),
    ],
)
def test_what_people_forget(given, said, monkeypatch, capsys):
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT', 'MAX_RESTARTS', 'JOIN_TIMEOUT'):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, 'NAME_TIMEOUT', 1)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'torchrun: .*{said}', line)


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (RendezvousTimeoutError, 'too few machines have come in time (JOIN_TIMEOUT)'),
        (DistStoreError, 'too few machines have come in time (JOIN_TIMEOUT)'),
        (DistNetworkError, 'the machine with NODE_RANK=0 does not answer'),
        (RendezvousConnectionError, 'the machine with NODE_RANK=0 does not answer'),
    ],
)
def test_machines_that_are_missing(code, error, said, monkeypatch, capsys):
    for name, value in (('NNODES', '2'), ('NODE_RANK', '1'), ('MASTER_ADDR', 'localhost')):
        monkeypatch.setenv(name, value)

    def fail():
        raise error('the store')

    assert code(fail) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'torchrun: {said}: NNODES=2, NODE_RANK=1, MASTER_ADDR=localhost')


def test_a_name_that_comes_late(monkeypatch):
    """This machine's own address is looked up when the first machine's name is there."""
    answers = [OSError(2, 'Name or service not known'), []]

    def ask(name, port):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer

    def own(first):
        assert not answers
        return '10.0.0.2'

    monkeypatch.setattr(module.socket, 'getaddrinfo', ask)
    monkeypatch.setattr(module, 'public_address', own)
    given = meeting(dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='late'))
    assert '--local-addr=10.0.0.2' in given


@pytest.mark.parametrize('count', ['0', '-1', 'two', 'gpu'])
def test_numbers_of_processes(count, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['torchrun', f'--nproc_per_node={count}', 'train.py'])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f'GPUS={count!r} must be a number from 1 on' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('ends', 'said', 'becomes'),
    [
        (2, 'ended with 2; it has said above why', 2),
        (124, 'ended with 124; it has said above why', 1),
        (-9, 'was killed by SIGKILL', 1),
    ],
)
def test_a_process_that_fails_is_named_in_a_line(ends, said, becomes, code, capsys):
    """Its own message is not buried under torchrun's traceback."""

    def fail():
        failure = ProcessFailure(local_rank=1, pid=7, exitcode=ends, error_file='')
        raise ChildFailedError('train.py', {3: failure})

    assert code(fail) == becomes
    assert capsys.readouterr().err == f'torchrun: process 3 {said}\n'


@pytest.mark.parametrize('inner', [False, True])
def test_a_port_that_is_taken(inner, code, monkeypatch, capsys):
    """As torch's own store says it, and through torchrun's rendezvous."""
    monkeypatch.setenv('PORT', '29544')

    def fail():
        taken = DistNetworkError('failed to listen on port: 29544 (EADDRINUSE: address in use)')
        if inner:
            raise RendezvousConnectionError('see inner exception') from taken
        raise taken

    assert code(fail) == 2
    assert capsys.readouterr().err.startswith('torchrun: PORT=29544 is taken on this machine')


def test_failures_pass(code):
    class FailedError(Exception):
        pass

    def fail():
        raise FailedError

    with pytest.raises(FailedError):
        code(fail)
