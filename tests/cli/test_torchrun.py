"""The exit code of torchrun; tests/faults/ranks.py runs the real one."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch.distributed.run
from torch.distributed.elastic.multiprocessing.api import SignalException

from wamim_mm.cli.torchrun import NOTE, main


@pytest.fixture
def code(monkeypatch):
    """What the command ends with where torchrun does this."""

    def run(torchrun):
        before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
        monkeypatch.setenv(NOTE, 'to be replaced')
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
    Path(os.environ[NOTE]).write_text('end')


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


def test_the_address_for_other_machines(code, monkeypatch):
    """On one machine torchrun keeps its own; the first of several goes by the name it was given."""
    seen = []
    for name, given in ((None, []), ('localhost', ['--local-addr=localhost'])):
        monkeypatch.delenv('MASTER_ADDR', raising=False)
        if name:
            monkeypatch.setenv('MASTER_ADDR', name)
        monkeypatch.setattr('sys.argv', ['torchrun', 'train.py'])
        assert code(lambda: seen.append(sys.argv[1:])) == 0
        assert seen.pop() == [*given, 'train.py']


def test_failures_pass(code):
    class FailedError(Exception):
        pass

    def fail():
        raise FailedError

    with pytest.raises(FailedError):
        code(fail)
