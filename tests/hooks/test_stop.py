"""A run that is told to stop saves, and goes on to the same end."""

import os
import signal

import pytest
import torch

from wamim_mm.hooks.stop import SAVED, StopHook

from .test_exact_resume import Model, run

pytestmark = pytest.mark.usefixtures('own_instances')


class Told(Model):
    """Tells its process to stop, in one step."""

    number, at = signal.SIGTERM, 7

    def forward(self, inputs, mode='tensor'):
        if len(self.seen) == self.at:
            os.kill(os.getpid(), self.number)
        return super().forward(inputs, mode)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize('at', [0, 4, 7])  # the first step, the last of an epoch, any
def test_signals(tmp_path, monkeypatch, number, at):
    monkeypatch.setattr(Told, 'number', number)
    monkeypatch.setattr(Told, 'at', at)
    whole = run(tmp_path / 'whole')
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / 'run', kind=Told, hooks=[dict(type='StopHook')], interval=-1)
    assert stopped.value.code == SAVED and signal.getsignal(number) is before
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == 'interrupted.pth'
    resumed = run(tmp_path / 'run', resume=True)
    assert resumed.seen == whole.seen[at + 1 :]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


def test_time_is_up(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, hooks=[dict(type='StopHook', max_hours=1e-9)])
    assert stopped.value.code == SAVED
    assert torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter'] == 1
    run(tmp_path / 'long', hooks=[dict(type='StopHook', max_hours=1.0)])
    with pytest.raises(ValueError, match='max_hours must be positive, got 0'):
        StopHook(0)


def test_the_second_signal_ends_it_at_once():
    child = os.fork()
    if child == 0:
        hook = StopHook()
        hook.before_train(None)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
