"""CheckpointFitHook refuses checkpoints of other architectures."""

from types import SimpleNamespace

import pytest
import torch

from wamim_mm import CheckpointFitHook


def check(strict, state, model=None):
    runner = SimpleNamespace(model=model or torch.nn.Sequential(torch.nn.Linear(3, 2)))
    CheckpointFitHook(strict).after_load_checkpoint(runner, {'state_dict': state})


def test_accepts_what_fits():
    own = torch.nn.Sequential(torch.nn.Linear(3, 2)).state_dict()
    check(True, own)
    check(True, {f'module.{name}': tensor for name, tensor in own.items()})
    check(False, {'0.bias': torch.zeros(2), 'head.weight': torch.zeros(7)})


def test_fine_tuning_needs_the_backbone():
    model = torch.nn.ModuleDict(
        dict(backbone=torch.nn.Linear(3, 2), head=torch.nn.Linear(2, 1), neck=torch.nn.Linear(2, 2))
    )
    own = model.state_dict()
    check(False, {k: v for k, v in own.items() if k.startswith('backbone.')}, model)
    with pytest.raises(ValueError, match='of 6 tensors 2 are missing'):
        check(False, {k: v for k, v in own.items() if not k.startswith('backbone.')}, model)


@pytest.mark.parametrize(
    ('strict', 'state', 'message'),
    [
        (True, {'0.bias': torch.zeros(2)}, 'of 2 tensors 1 are missing.*0.weight is missing'),
        (
            True,
            {'0.bias': torch.zeros(2), '0.weight': torch.zeros(2, 5)},
            r'1 have another shape .*0.weight is \(2, 5\) in the checkpoint and \(2, 3\)',
        ),
        (False, {'encoder.weight': torch.zeros(2)}, '2 tensors 2 are missing'),
        (True, {}, '2 tensors 2 are missing'),
    ],
)
def test_refuses(strict, state, message):
    with pytest.raises(ValueError, match=message):
        check(strict, state)
