"""Parameters that are not finite are not saved; buffers may be infinite, as masks are."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from wamim_mm.hooks.finite_weights import FiniteWeightsHook


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_one_value_is_enough(dtype, value):
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).to(dtype)
    model.register_buffer('mask', torch.full((2,), -float('inf')))
    runner = SimpleNamespace(model=model, iter=7, work_dir='run')
    hook = FiniteWeightsHook()
    hook.before_save_checkpoint(runner, {})
    with torch.no_grad():
        model[1].weight[1, 0] = value
    with pytest.raises(FloatingPointError, match=r'by iteration 7 1 weights .*\(1\.weight, .*run'):
        hook.before_save_checkpoint(runner, {})


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_running_statistics_count(value):
    model = nn.BatchNorm1d(2)
    model.running_var[1] = value
    runner = SimpleNamespace(model=model, iter=7, work_dir='run')
    with pytest.raises(FloatingPointError, match='running_var'):
        FiniteWeightsHook().before_save_checkpoint(runner, {})
