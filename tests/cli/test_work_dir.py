"""One run in a work dir at a time."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wamim_mm.cli import work_dir as module
from wamim_mm.cli.work_dir import claim_work_dir

HOLDER = """
import os, sys, time
from wamim_mm.cli.work_dir import claim_work_dir
try:
    claim_work_dir(sys.argv[1], True, True)
except ValueError as error:
    sys.exit(str(error))
assert 'torch' not in sys.modules and 'mmengine' not in sys.modules
if os.fork() == 0:  # a worker of the data loader, which outlives its parent
    time.sleep(60)
    os._exit(0)
print('held', flush=True)
time.sleep(60)
"""


def start(root, path):
    return subprocess.Popen(
        [sys.executable, '-c', HOLDER, str(path)],
        env=dict(os.environ, PYTHONPATH=str(root)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_two_processes_and_a_death(root, tmp_path):
    path = tmp_path / 'run'
    first = start(root, path)
    try:
        assert first.stdout.readline() == 'held\n'
        second = start(root, path)
        _, said = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f'{path} is in use by process {first.pid} on ' in said and ' since 20' in said
        assert said.strip().endswith('wait for its end, or choose another --work-dir')
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        # Its worker still lives, and the work dir is free.
        third = start(root, path)
        try:
            assert third.stdout.readline() == 'held\n'
            assert str(third.pid) in (path / 'train.lock').read_text()
        finally:
            os.killpg(third.pid, signal.SIGKILL)
            third.communicate()
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_what_is_taken_is_taken_for_others_alone(root, tmp_path):
    path = tmp_path / 'run'
    claim_work_dir(str(path), False, True, '--out')
    claim_work_dir(f'{tmp_path}/./run', False, True)
    other = start(root, path)
    _, said = other.communicate(timeout=60)
    assert other.returncode == 1 and f'in use by process {os.getpid()} on ' in said


def test_one_of_many_at_once(root, tmp_path):
    runs = [start(root, tmp_path) for _ in range(4)]
    try:
        lines = [run.stdout.readline() for run in runs]
        assert sorted(lines) == ['', '', '', 'held\n']
    finally:
        for run in runs:
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()


def test_a_run_is_not_overwritten(tmp_path):
    claim_work_dir(str(tmp_path / 'new'), False, False)
    assert not (tmp_path / 'new').exists()  # other processes of a run leave it to the first
    (tmp_path / 'epoch_1.pth').touch()
    message = (
        r'holds a run \(epoch_1.pth\); go on with it by --resume, or choose another --work-dir'
    )
    for first in (True, False):  # every process sees it, and none waits for another
        with pytest.raises(ValueError, match=message):
            claim_work_dir(str(tmp_path), False, first)
    claim_work_dir(str(tmp_path), True, False)


def test_a_start_that_failed_is_no_run(tmp_path):
    log = tmp_path / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    claim_work_dir(str(tmp_path), False, False)
    log.touch()
    claim_work_dir(str(tmp_path), False, False)
    log.write_text('{"step": 1}')
    with pytest.raises(ValueError, match=r'scalars\.json'):
        claim_work_dir(str(tmp_path), False, False)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
        with pytest.raises(ValueError, match=r'cannot be written: .*; choose another --work-dir'):
            claim_work_dir(str(path), False, True)
    with pytest.raises(ValueError, match='choose another --out'):
        claim_work_dir(str(tmp_path / 'file'), False, True, '--out')


def _claim_without_locks(path, connection):
    def flock(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    module.fcntl.flock = flock
    module.print = lambda line, **_: connection.send(line)
    claim_work_dir(path, False, True)
    connection.send(Path(path, 'train.lock').read_text())


def test_filesystems_without_locks(tmp_path):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context('fork').Process(
        target=_claim_without_locks, args=(str(tmp_path), there)
    )
    process.start()
    assert 'on a filesystem without locks (No locks available)' in here.recv()
    assert f'process {process.pid} on ' in here.recv()
    process.join()


def test_started_before(tmp_path, monkeypatch):
    """By torchrun's own count, or by the file that the processes before have left."""
    saved = tmp_path / 'saved'
    for name in ('TORCHELASTIC_RESTART_COUNT', module.BEGUN):
        monkeypatch.delenv(name, raising=False)
    assert not module.started_before()
    module.note_start()
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '0')
    monkeypatch.setenv(module.BEGUN, str(tmp_path / 'begun'))
    monkeypatch.setenv(module.SAVED, str(saved))
    assert not module.started_before()
    module.note_start()
    assert module.started_before()
    # Those before were told to stop, as torchrun tells them when a machine joins; it is no end.
    saved.write_text('end')
    module.note_start()
    assert not saved.exists()
    monkeypatch.delenv(module.BEGUN)
    assert not module.started_before()
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '2')
    assert module.started_before()
