"""Activations that are computed twice give the same gradients."""

import inspect
import re
from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmpretrain.registry import MODELS

from wamim_mm.cli.options import READ


@pytest.mark.parametrize(
    ('config', 'modules'),
    [
        ('wamim_vit_cifar10', ['backbone.layers.0', 'backbone.layers.3', 'neck.decoders.0']),
        ('wamim_swin', ['backbone.stages.1.blocks.0', 'neck.decoders.1']),
        ('mfm_r18_cifar10', ['backbone.layer1', 'backbone.layer3']),
    ],
)
def test_gradients_are_the_same(root, config, modules):
    cfg = Config.fromfile(root / f'configs/demo/{config}.py')
    size = cfg.model.backbone.get('img_size', 32)
    images = torch.randn(2, 3, size, size)
    found = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        if checkpointed:
            turn_on_activation_checkpointing(model, modules)
        torch.manual_seed(1)
        loss, _ = model.parse_losses(model.loss(images, None))
        loss.backward()
        found.append({name: part.grad for name, part in model.named_parameters()})
    plain, twice = found
    for name, gradient in plain.items():
        assert gradient is None or torch.equal(gradient, twice[name]), name


@pytest.mark.parametrize(
    ('config', 'modules', 'count'),
    [('wamim_vit', ['backbone.layers'], 6), ('wamim_swin', ['backbone.stages.1.blocks'], 3)],
)
def test_all_blocks_of_a_list(root, config, modules, count):
    cfg = Config.fromfile(root / f'configs/demo/{config}.py')
    model = MODELS.build(cfg.model)
    calls = Counter()
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
    turn_on_activation_checkpointing(model, modules)
    loss, _ = model.parse_losses(model.loss(torch.randn(1, 3, 128, 128), None))
    loss.backward()
    twice = {name for name, times in calls.items() if times == 2}
    (prefix,) = modules
    assert sum(name.endswith(('.ln1', '.norm1')) for name in twice) == count
    assert all(name.startswith(prefix) for name in twice)


def test_options_take_what_the_runner_reads():
    read = re.findall(r"self\.cfg\.get\(\s*'(\w+)'", inspect.getsource(Runner))
    assert 'activation_checkpointing' in read and set(read) <= READ
