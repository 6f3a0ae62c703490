"""Weights of safetensors, on every road that loads weights."""

import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file
from torch import nn

from wamim_mm.evaluation.models import load_weights
from wamim_mm.hooks import CheckpointFitHook, PretrainedFitHook, ResumeHook

from .test_saving import Model, runner

pytestmark = pytest.mark.usefixtures('own_instances')


@pytest.fixture
def weights():
    return {name: tensor + 1 for name, tensor in Model().state_dict().items()}


@pytest.fixture
def path(tmp_path, weights):
    save_file(weights, tmp_path / 'weights.safetensors', {'format': 'pt'})
    return str(tmp_path / 'weights.safetensors')


def assert_loaded(model, weights):
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('place', [None, 'cpu', torch.device('cpu'), lambda storage, _: storage])
def test_functions(path, weights, place):
    content = CheckpointLoader.load_checkpoint(path, map_location=place)
    assert list(content) == ['state_dict'] and content['state_dict'].keys() == weights.keys()
    for load in (load_checkpoint, load_weights):
        model = Model()
        load(model, path)
        assert_loaded(model, weights)


def test_places(path):
    tensors = CheckpointLoader.load_checkpoint(path, map_location='meta')['state_dict']
    assert {tensor.device.type for tensor in tensors.values()} == {'meta'}


def test_dtypes_and_shapes(tmp_path):
    kinds = (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64)
    saved = {str(kind): torch.ones(2, 3).to(kind) for kind in kinds}
    saved |= {'none': torch.zeros(0, 3), 'one': torch.tensor(1.5)}
    save_file(saved, tmp_path / 'a.safetensors')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.safetensors'))['state_dict']
    for name, tensor in saved.items():
        assert torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype


def test_load_from_and_testing(path, weights, tmp_path):
    started = runner(tmp_path / 'run', epochs=1, load_from=path)
    started.register_hook(CheckpointFitHook(strict=False))
    started.load_or_resume()
    assert_loaded(started.model, weights)
    strict = runner(tmp_path / 'test', epochs=1, load_from=path)
    strict.register_hook(CheckpointFitHook(strict=True))
    strict.load_or_resume()
    assert_loaded(strict.model, weights)


def test_it_is_no_run_to_resume(path, tmp_path):
    resumed = runner(tmp_path / 'run', epochs=1, load_from=path, resume=True)
    resumed.register_hook(ResumeHook())
    with pytest.raises(ValueError, match=r'holds weights alone, and no .* load_from='):
        resumed.load_or_resume()


class Backbone(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.layer = nn.Linear(2, 2)


class WithBackbone(Model):
    def __init__(self, init_cfg):
        super().__init__()
        self.layer = nn.Identity()
        self.backbone = Backbone(init_cfg)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.backbone.layer(torch.stack(inputs)).square().mean())


@pytest.mark.parametrize('prefix', [None, 'backbone.'])
def test_a_pretrained_backbone(prefix, weights, tmp_path):
    path = tmp_path / 'backbone.safetensors'
    save_file({f'{prefix or ""}{name}': tensor for name, tensor in weights.items()}, path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path)) | (
        dict(prefix=prefix) if prefix else {}
    )
    trained = runner(
        tmp_path / 'run',
        epochs=1,
        model=WithBackbone(init_cfg),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
    )
    trained.register_hook(PretrainedFitHook())
    trained.train()
    assert_loaded(trained.model.backbone, weights)


def test_the_config_in_it(weights, tmp_path):
    text = Config(dict(model=dict(type='A'))).pretty_text
    save_file(weights, tmp_path / 'a.safetensors', {'format': 'pt', 'cfg': text, 'config': 'x = 1'})
    content = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.safetensors'))
    assert content['meta'] == {'cfg': text}


@pytest.mark.parametrize('length', [0, 7, 8, 50, -1])
def test_damaged_files(path, length):
    with open(path, 'rb') as file:
        data = file.read()
    with open(path, 'wb') as file:
        file.write(data[:length])
    said = r'weights\.safetensors cannot be read as a checkpoint .*safetensors did not write it'
    with pytest.raises(RuntimeError, match=said):
        CheckpointLoader.load_checkpoint(path)


def test_not_there_and_not_installed(path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r'other\.safetensors'):
        CheckpointLoader.load_checkpoint(path.replace('weights', 'other'))
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(ImportError, match=r'weights\.safetensors: .*pip install safetensors'):
        CheckpointLoader.load_checkpoint(path)
