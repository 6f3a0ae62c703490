"""A run that is ended before its length leaves what it trained last."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..hooks.test_exact_resume import run

pytestmark = pytest.mark.usefixtures('own_instances')


@HOOKS.register_module()
class Stop(Hook):
    """As MMEngine's EarlyStoppingHook does it."""

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch == 1


@pytest.mark.parametrize(
    ('by_epoch', 'interval', 'begin', 'files'),
    [
        (True, 10, 0, {'epoch_2.pth'}),
        (True, 1, 0, {'epoch_1.pth', 'epoch_2.pth'}),
        (True, -1, 0, {'epoch_2.pth'}),
        (True, 2, 4, {'epoch_2.pth'}),
        (False, 4, 0, {'iter_4.pth', 'iter_8.pth', 'iter_10.pth'}),
    ],
)
def test_the_last_weights_are_there(by_epoch, interval, begin, files, tmp_path):
    model = run(
        tmp_path,
        epochs=8,
        interval=interval,
        save_begin=begin,
        by_epoch=by_epoch,
        hooks=[dict(type='Stop')],
    )
    assert {path.name for path in tmp_path.glob('*.pth')} == files
    last = tmp_path / (tmp_path / 'last_checkpoint').read_text()
    assert last.name == ('epoch_2.pth' if by_epoch else 'iter_10.pth')
    found = torch.load(last, weights_only=False)
    assert (found['meta']['epoch'], found['meta']['iter']) == (2, 10)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, found['state_dict'][name])
