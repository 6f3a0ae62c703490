"""The learning rate is scaled by all batches of a step."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner


def scaled(batch, counts, base, enable=True):
    """The learning rate of 4e-4 for a batch of ``base``, as a Runner of one process scales it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.6e-3)
    wrapper = OptimWrapper(optimizer, accumulative_counts=counts)
    runner = SimpleNamespace(
        _train_dataloader=dict(batch_size=batch),
        world_size=1,
        logger=SimpleNamespace(info=lambda text: None),
        param_schedulers=[],
    )
    Runner.scale_lr(runner, wrapper, dict(enable=enable, base_batch_size=base))
    return optimizer.param_groups[0]['lr']


@pytest.mark.parametrize(
    ('batch', 'counts', 'lr'), [(32, 1, 1.6e-3), (8, 1, 4e-4), (8, 4, 1.6e-3), (16, 4, 3.2e-3)]
)
def test_accumulated_batches_count(batch, counts, lr):
    assert scaled(batch, counts, base=32) == pytest.approx(lr)


def test_the_rate_that_is_logged_is_scaled_too():
    """With several groups MMEngine logs one that is none of theirs."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [dict(params=weights[:1], lr=4e-3), dict(params=weights[1:], lr=8e-3)]
    wrapper = OptimWrapper(torch.optim.SGD(groups, lr=1.6e-3))
    runner = SimpleNamespace(
        _train_dataloader=dict(batch_size=8),
        world_size=1,
        logger=SimpleNamespace(info=lambda text: None),
        param_schedulers=[],
    )
    Runner.scale_lr(runner, wrapper, dict(enable=True, base_batch_size=32))
    assert wrapper.get_lr() == {'base_lr': [4e-4], 'lr': [1e-3, 2e-3]}


def test_only_where_it_is_wanted():
    assert scaled(8, 4, base=32, enable=False) == 1.6e-3
    Runner.scale_lr(SimpleNamespace(), SimpleNamespace(), None)
