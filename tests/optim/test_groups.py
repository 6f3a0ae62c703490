"""Merged parameter groups against MMEngine's own, one for each tensor."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.models import VisionTransformer
from mmpretrain.registry import MODELS
from torch import nn

from wamim_mm.optim.groups import merge_groups

SWIN = dict(embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2])
OPTIONS = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys=dict(mask_token=dict(decay_mult=0.0), neck=dict(lr_mult=2.0)),
)


def build(root):
    cfg = Config.fromfile(root / 'configs' / 'pretrain' / 'wamim_swin-b.py').model
    cfg.backbone.update(arch=SWIN)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def optimizer_of(model, constructor, fused):
    cfg = dict(
        constructor=constructor,
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=fused),
        paramwise_cfg=OPTIONS,
    )
    return build_optim_wrapper(model, cfg).optimizer


@pytest.mark.parametrize('fused', [False, True])
def test_steps_are_the_same(root, fused):
    merged_model = build(root)
    model = copy.deepcopy(merged_model)
    merged = optimizer_of(merged_model, 'MergedOptimWrapperConstructor', fused)
    plain = optimizer_of(model, 'DefaultOptimWrapperConstructor', fused)
    assert len(plain.param_groups) == len(list(model.parameters())) > 100
    settings = {(group['lr'], group['weight_decay']) for group in plain.param_groups}
    assert len(merged.param_groups) == len(settings) == 3
    for _ in range(3):
        for one, other in zip(model.parameters(), merged_model.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        plain.step()
        merged.step()
    for one, other in zip(model.parameters(), merged_model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_settings_and_order_are_kept():
    a, b, c = (torch.nn.Parameter(torch.zeros(n)) for n in (1, 2, 3))
    groups = [
        dict(params=[a], lr=1.0, param_name='a'),
        dict(params=[b], lr=1.0, weight_decay=0.0, param_name='b'),
        dict(params=[c], lr=1.0, param_name='c'),
    ]
    merged = merge_groups(groups)
    assert [group['params'] for group in merged] == [[a, c], [b]]
    assert [group['param_name'] for group in merged] == ['a', 'b']
    assert merged[1]['weight_decay'] == 0.0 and 'weight_decay' not in merged[0]
    assert [len(group['params']) for group in groups] == [1, 1, 1]


@pytest.mark.parametrize('constructor', ['Merged', 'LayerDecay'])
def test_shared_weights_take_one_step(constructor):
    """As the convolutions that mmdet's RTMDet has for all levels."""
    model = nn.Module()
    model.backbone = VisionTransformer(arch='deit-tiny', img_size=32, patch_size=16)
    model.first, model.second = nn.Sequential(nn.Linear(2, 2)), nn.Sequential()
    model.second.append(model.first[0])
    wrapper = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.0))
    paramwise = dict(Merged=dict(norm_decay_mult=0), LayerDecay=dict(layer_decay_rate=0.75))
    kind = OPTIM_WRAPPER_CONSTRUCTORS.get(f'{constructor}OptimWrapperConstructor')
    optimizer = kind(wrapper, paramwise[constructor])(model).optimizer
    numbers = [id(part) for group in optimizer.param_groups for part in group['params']]
    assert len(numbers) == len(set(numbers))
    weight = model.first[0].weight
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert optimizer.state[weight]['step'] == 1
