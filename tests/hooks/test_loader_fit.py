"""LoaderFitHook compares the loops with the model."""

from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models import BaseSelfSupervisor
from mmseg.models import ASPPHead, FCNHead, PSPHead
from torch import nn

from wamim_mm.hooks import loader_fit
from wamim_mm.hooks.loader_fit import LoaderFitHook

ARGUMENTS = dict(in_channels=4, channels=4, num_classes=2)


def check(model, batch_size=2, validates=False):
    loader = torch.utils.data.DataLoader([0] * 4, batch_size)
    runner = SimpleNamespace(
        model=model,
        train_dataloader=loader,
        _val_loop=object() if validates else None,
    )
    LoaderFitHook().before_train(runner)


class SelfSupervisor(BaseSelfSupervisor):
    def __init__(self):
        super().__init__(backbone=nn.Identity())

    def loss(self, inputs, data_samples):
        return {}


def test_pre_training_cannot_validate():
    check(SelfSupervisor())
    with pytest.raises(ValueError, match=r'SelfSupervisor pre-trains.*tools/linear_probe\.py'):
        check(SelfSupervisor(), validates=True)
    check(nn.Linear(2, 2), validates=True)


@pytest.mark.parametrize(
    ('head', 'fits_one'),
    [
        (lambda: PSPHead(norm_cfg=dict(type='BN'), pool_scales=(1, 2), **ARGUMENTS), False),
        (lambda: PSPHead(norm_cfg=dict(type='BN'), pool_scales=(2, 3), **ARGUMENTS), True),
        (lambda: PSPHead(norm_cfg=dict(type='GN', num_groups=2), **ARGUMENTS), True),
        (lambda: ASPPHead(norm_cfg=dict(type='BN'), dilations=(1, 2), **ARGUMENTS), False),
        (lambda: FCNHead(norm_cfg=dict(type='BN'), **ARGUMENTS), True),
    ],
)
def test_a_batch_of_one(head, fits_one):
    """Refused exactly where torch fails."""
    model = nn.ModuleDict(dict(decode_head=head()))
    check(model, batch_size=2)
    images = [torch.zeros(1, 4, 8, 8)]
    if fits_one:
        check(model, batch_size=1)
        model['decode_head'](images)
        return
    with pytest.raises(ValueError, match=r'batch_size=1: the batch norm decode_head\..* 2 or more'):
        check(model, batch_size=1)
    with pytest.raises(ValueError, match='Expected more than 1 value per channel'):
        model['decode_head'](images)


def test_a_batch_of_one_in_each_of_two_processes(monkeypatch):
    norm = dict(type='SyncBN')
    model = nn.ModuleDict(dict(decode_head=PSPHead(norm_cfg=norm, **ARGUMENTS)))
    with pytest.raises(ValueError, match='batch_size=1'):
        check(model, batch_size=1)
    monkeypatch.setattr(loader_fit, 'get_world_size', lambda: 2)
    check(model, batch_size=1)


def test_testing_does_not_build_the_training_set():
    """Who tests need not have it: the hook looks at loaders in training alone."""
    stages = LoaderFitHook().get_triggered_stages()
    assert 'before_train' in stages and 'before_run' not in stages
