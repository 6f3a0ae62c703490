"""From what a config calls a class to the class."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import PretrainedInit
from mmpretrain.models import ImageClassifier, ResNet, VisionTransformer
from mmpretrain.registry import MODELS

from wamim_mm import WaMIM, WaMIMViT
from wamim_mm.class_names import (
    builds,
    class_of,
    library_class,
    library_of,
    name_pretrained,
    pretrained_init,
)

LAZY = """
import wamim_mm.models
from wamim_mm import WaMIM
from mmengine.model import PretrainedInit
model = dict(type=WaMIM, backbone=dict(
    type=wamim_mm.models.WaMIMViT, init_cfg=dict(type=PretrainedInit, checkpoint='a.pth')))
"""


class OwnWaMIM(WaMIM):
    pass


@pytest.fixture
def lazy(tmp_path):
    """A config in MMEngine's pure Python style, whose types are lazy objects."""
    (tmp_path / 'lazy.py').write_text(LAZY)
    return Config.fromfile(tmp_path / 'lazy.py')


@pytest.mark.parametrize(
    ('part', 'scope', 'expected'),
    [
        (dict(type='WaMIM'), 'mmpretrain', 'wamim_mm.models.wamim.algorithm.WaMIM'),
        (dict(type='WaMIM'), None, 'wamim_mm.models.wamim.algorithm.WaMIM'),
        (dict(type='mmpretrain.WaMIM'), 'mmdet', 'wamim_mm.models.wamim.algorithm.WaMIM'),
        (dict(type='wamim_mm.WaMIM'), 'mmseg', 'wamim_mm.models.wamim.algorithm.WaMIM'),
        (dict(type=WaMIM), 'mmdet', 'wamim_mm.models.wamim.algorithm.WaMIM'),
        (dict(type='ResNet'), 'mmpretrain', 'mmpretrain.models.backbones.resnet.ResNet'),
        (dict(type='ResNet'), 'mmdet', 'mmdet.models.backbones.resnet.ResNet'),
        (dict(type='ResNet', _scope_='mmseg'), 'mmdet', 'mmseg.models.backbones.resnet.ResNet'),
    ],
)
def test_class_of(part, scope, expected):
    found = class_of(part, 'MODELS', scope)
    assert f'{found.__module__}.{found.__qualname__}' == expected


def test_lazy_objects(lazy):
    assert class_of(lazy.model, 'MODELS') is WaMIM
    assert class_of(lazy.model.backbone, 'MODELS') is WaMIMViT
    # in a plain dict, too, where MMEngine's own does not build them
    assert class_of(dict(type=dict.get(lazy.model, 'type')), 'MODELS') is WaMIM


@pytest.mark.parametrize(
    'name', ['WaMIMM', 'mmpretrain.WaMIMM', 'no_such_library.WaMIM', 'torch.No']
)
def test_unknown_names(name):
    with pytest.raises(ValueError, match=f"type='{name}': no class of this name is registered in "):
        class_of(dict(type=name), 'MODELS', 'mmpretrain')
    with pytest.raises(ValueError, match=r'dict\(a, b\) has no type'):
        class_of(dict(a=1, b=2), 'MODELS')


def test_builds():
    assert builds(dict(type='WaMIMViT'), VisionTransformer, 'MODELS')
    assert builds(dict(type='WaMIMViT'), ResNet | VisionTransformer, 'MODELS')
    assert not builds(dict(type='ResNet'), VisionTransformer, 'MODELS')
    assert not builds(dict(type=lambda: 0), VisionTransformer, 'MODELS')


def test_library_class():
    assert library_class(WaMIMViT) is VisionTransformer
    assert library_class(ImageClassifier) is ImageClassifier
    assert library_class(torch.nn.Linear) is None and library_class(print) is None


@pytest.mark.parametrize(
    ('model', 'scope', 'expected'),
    [
        (dict(type='WaMIM'), 'mmpretrain', 'mmpretrain'),
        (dict(type='WaMIM'), None, 'mmpretrain'),
        (dict(type='mmpretrain.WaMIM'), None, 'mmpretrain'),
        (dict(type='mmdet.MaskRCNN'), None, 'mmdet'),
        (dict(type='mmdet.MaskRCNN'), 'mmpretrain', 'mmdet'),
        (dict(type='MaskRCNN', _scope_='mmdet'), None, 'mmdet'),
        (dict(type='mmdet.models.detectors.MaskRCNN'), None, 'mmdet'),
        (dict(type='wamim_mm.MFM'), None, 'mmpretrain'),
        (dict(type=OwnWaMIM), None, 'mmpretrain'),
        (dict(type=torch.nn.Linear), 'mine', 'mine'),
        (None, 'mmseg', 'mmseg'),
    ],
)
def test_library_of(model, scope, expected):
    assert library_of(Config(dict(model=model, default_scope=scope))) == expected


def test_pretrained_init(lazy):
    """As `BaseModule` finds it: by name or class, alone or in a list."""
    found = dict(type='Pretrained', checkpoint='a.pth')
    for init_cfg in (found, [dict(type='Xavier', layer='Linear'), found], (found,)):
        assert pretrained_init(init_cfg) is found
    assert pretrained_init(dict(type=PretrainedInit, checkpoint='a.pth'))
    assert pretrained_init(lazy.model.backbone.init_cfg)
    assert pretrained_init(None) is None and pretrained_init(dict(type='Xavier')) is None
    name_pretrained(lazy.model)
    assert dict.get(lazy.model.backbone.init_cfg, 'type') == 'Pretrained'
    assert not isinstance(dict.get(lazy.model, 'type'), type)  # it could not be written any more


@pytest.mark.parametrize('name', ['WaMIMViT', 'VisionTransformer'])
@pytest.mark.parametrize('how', ['name', 'class', 'list'])
def test_what_is_loaded_stays(tmp_path, name, how):
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
    cfg = dict(type=name, arch=arch, img_size=64, out_indices=[1])
    state = MODELS.build(cfg).state_dict()
    state = {key: torch.randn_like(tensor) for key, tensor in state.items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    if how == 'class':
        init_cfg['type'] = PretrainedInit
    elif how == 'list':
        init_cfg = [init_cfg]
    cfg['init_cfg'] = init_cfg
    name_pretrained(cfg)
    model = MODELS.build(cfg)
    model.init_weights()
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
