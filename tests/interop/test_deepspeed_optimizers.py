"""MMEngine's DeepSpeedStrategy beside a DeepSpeed that lacks some of its optimizers."""

import sys
from types import ModuleType

import pytest
from mmengine._strategy import deepspeed as strategy
from mmengine.registry import OPTIMIZERS
from torch import optim


@pytest.fixture
def deepspeed(monkeypatch):
    """A stand-in with the optimizers of 0.19."""
    names = ('', '.ops', '.ops.adam', '.ops.lamb', '.runtime', '.runtime.fp16')
    modules = {f'deepspeed{name}': ModuleType(f'deepspeed{name}') for name in names}
    for name, module in modules.items():
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    for room, names in (('adam', ('DeepSpeedCPUAdam', 'FusedAdam')), ('lamb', ('FusedLamb',))):
        for name in names:
            setattr(modules[f'deepspeed.ops.{room}'], name, type(name, (optim.SGD,), {}))
    known = dict(OPTIMIZERS._module_dict)
    yield modules
    OPTIMIZERS._module_dict.clear()
    OPTIMIZERS._module_dict.update(known)


def test_those_that_are_there(deepspeed):
    names = ['DeepSpeedCPUAdam', 'FusedAdam', 'FusedLamb']
    for _ in range(2):
        assert strategy.register_deepspeed_optimizers() == names
    assert OPTIMIZERS.get('FusedLamb') is deepspeed['deepspeed.ops.lamb'].FusedLamb


def test_other_faults_are_not_hidden(deepspeed, monkeypatch):
    monkeypatch.setitem(sys.modules, 'deepspeed.ops.lamb', None)
    with pytest.raises(ModuleNotFoundError, match='lamb'):
        strategy.register_deepspeed_optimizers()
