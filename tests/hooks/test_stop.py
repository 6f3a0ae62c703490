"""A run that is told to stop saves, and goes on to the same end."""

import multiprocessing
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from wamim_mm.cli.progress import Progress
from wamim_mm.hooks.stop import StopHook, _validates_now
from wamim_mm.launcher_notes import SAVED, SAVED_CODE

from .test_exact_resume import Model, run

pytestmark = pytest.mark.usefixtures('own_instances')


class Told(Model):
    """Tells its process to stop, in one step."""

    number, at = signal.SIGTERM, 7

    def forward(self, inputs, mode='tensor'):
        if len(self.seen) == self.at:
            os.kill(os.getpid(), self.number)
        return super().forward(inputs, mode)


class ToldAll(Told):
    """Tells all processes of its group."""

    def forward(self, inputs, mode='tensor'):
        if len(self.seen) == self.at:
            os.killpg(0, self.number)
            time.sleep(0.2)  # would a data worker end, it would be noticed
        return Model.forward(self, inputs, mode)


class Ends(Hook):
    """Counts the epochs that came to their end."""

    def __init__(self, ends):
        self.ends = ends

    def after_train_epoch(self, runner):
        self.ends.append(1)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
@pytest.mark.parametrize('at', [0, 4, 7])  # the first step, the last of an epoch, any
def test_signals(tmp_path, monkeypatch, number, at):
    monkeypatch.setattr(Told, 'number', number)
    monkeypatch.setattr(Told, 'at', at)
    whole = run(tmp_path / 'whole')
    if number == signal.SIGHUP:  # ignored where the tests run under nohup
        signal.signal(number, signal.SIG_DFL)
    before = signal.getsignal(number)
    ends = []
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / 'run', kind=Told, hooks=[dict(type='StopHook'), Ends(ends)], interval=-1)
    assert stopped.value.code == SAVED_CODE and signal.getsignal(number) is before
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == 'interrupted.pth'
    resumed = run(tmp_path / 'run', resume=True)
    # The end of an epoch (its validation, its checkpoint) is not left out.
    done = 6 if at == 4 else at + 1
    assert ends == [1] * (done // 5) and resumed.seen == whole.seen[done:]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


def test_after_the_last_step_of_an_epoch_it_is_saved_already(tmp_path, monkeypatch):
    """Its validation may take longer than the one who sends the signal waits."""
    monkeypatch.setattr(Told, 'at', 4)

    class Killed(Exception):
        pass

    class Kill(Hook):
        def after_train_epoch(self, runner):
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, kind=Told, hooks=[dict(type='StopHook'), Kill()], interval=-1)
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 5


def test_between_epochs(tmp_path):
    class Tell(Hook):
        def after_train_epoch(self, runner):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        run(tmp_path, hooks=[dict(type='StopHook'), Tell()], interval=-1)
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 6


def test_a_validation_by_iterations_comes_first():
    loop = SimpleNamespace(val_begin=4, val_interval=3)
    runner = SimpleNamespace(train_loop=loop, val_loop=loop)
    validated = []
    for runner.iter in range(12):
        if _validates_now(runner, runner.iter):
            validated.append(runner.iter + 1)
    assert validated == [6, 9, 12]
    runner.val_loop, runner.iter = None, 5
    assert not _validates_now(runner, 5)


def test_in_its_last_step_a_run_just_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(Told, 'at', 14)
    run(tmp_path, kind=Told, hooks=[dict(type='StopHook')], interval=-1)
    assert not (tmp_path / 'interrupted.pth').exists()


@pytest.mark.parametrize(
    ('number', 'said'),
    [(signal.SIGTERM, 'end'), (signal.SIGINT, 'end'), (signal.SIGUSR1, 'again')],
)
def test_under_a_launcher(tmp_path, monkeypatch, number, said):
    """It takes any other code than 0 for a failure."""
    monkeypatch.setattr(Told, 'number', number)
    monkeypatch.setenv(SAVED, str(tmp_path / 'note'))
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, kind=Told, hooks=[dict(type='StopHook')], interval=-1)
    assert stopped.value.code == 0 and (tmp_path / 'note').read_text() == said


def test_time_is_up(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, hooks=[dict(type='StopHook', max_hours=1e-9)])
    assert stopped.value.code == SAVED_CODE
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 1
    run(tmp_path / 'long', hooks=[dict(type='StopHook', max_hours=1.0)])
    with pytest.raises(ValueError, match='max_hours must be positive, got 0'):
        StopHook(0)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ('launched', 'later', 'ends'), [(False, 0, True), (True, 0, False), (True, 1.2, True)]
)
def test_the_second_signal_ends_it_at_once(monkeypatch, number, launched, later, ends):
    """Unless it is the first one, which a launcher has passed on to who had it already."""
    if launched:
        monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    child = os.fork()
    if child == 0:
        hook = StopHook()
        hook.before_train(None)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(later)
        os.kill(os.getpid(), number)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    # What shells show as 128 + number: 130 for Ctrl-C, 143 for SIGTERM.
    assert os.waitstatus_to_exitcode(status) == (-number if ends else 0)


@pytest.mark.parametrize(('ignored', 'told'), [(False, 'SIGHUP'), (True, None)])
def test_a_terminal_that_is_closed(monkeypatch, ignored, told):
    """It may say so twice; under `nohup` nobody listens."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        hook = StopHook()
        hook.before_train(None)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        os._exit(0 if hook.reason == told else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


class Line(Hook):
    """A progress line after every step."""

    priority = 'LOW'

    def after_train_iter(self, runner, *args, **kwargs):
        Progress('training').show(0.5)


def end(function, *args):
    """The exit code of a process of its own: one that has computed gradients may not be forked."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.forked_libraries'])
    process = context.Process(target=function, args=args)
    process.start()
    process.join(120)
    return process.exitcode


def train_into_a_closed_pipe(folder):
    Told.number = signal.SIGINT
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    sys.stdout = os.fdopen(1, 'w', closefd=False)
    try:
        run(folder, kind=Told, hooks=[dict(type='StopHook'), Line()])
    except SystemExit as stop:
        os._exit(stop.code)  # multiprocessing would flush stdout


def test_ctrl_c_that_ends_a_pipe_too(tmp_path):
    """As in `tools/train.py ... 2>&1 | tee log`."""
    assert end(train_into_a_closed_pipe, tmp_path) == SAVED_CODE
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 8


def train_in_a_group(folder, number, train_cfg):
    os.setpgid(0, 0)
    ToldAll.number = number
    run(folder, 2, kind=ToldAll, hooks=[dict(type='StopHook')], train_cfg=train_cfg)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize(
    'train_cfg', [dict(by_epoch=True, max_epochs=3), dict(by_epoch=False, max_iters=15)]
)
def test_data_workers_stay(tmp_path, number, train_cfg):
    """A signal reaches all processes of a terminal or a launcher, the data workers too."""
    assert end(train_in_a_group, tmp_path, number, train_cfg) == SAVED_CODE
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 8


def test_on_a_full_disk_it_stops_all_the_same(tmp_path, monkeypatch):
    def full(checkpoint, filename):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('wamim_mm.interop.saving.write_checkpoint', full)
    monkeypatch.setattr(Told, 'at', 4)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, kind=Told, hooks=[dict(type='StopHook')], interval=-1)
    assert stopped.value.code == SAVED_CODE and not list(tmp_path.glob('*.pth'))


def test_every_step_is_the_end_of_an_epoch(tmp_path, monkeypatch):
    """It saves at once, lets the epoch end, and stops after the next one's step."""
    monkeypatch.setattr(Told, 'at', 1)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, epochs=9, length=2, kind=Told, hooks=[dict(type='StopHook')], interval=-1)
    assert stopped.value.code == SAVED_CODE
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 3
