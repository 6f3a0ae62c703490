"""A ViT in MFM starts as in MFM's release: the deviations that its formulas give."""

import math

import pytest
import torch
from mmpretrain.registry import MODELS

# Of a standard normal that is cut off at one deviation: sqrt(1 - 2 phi(1) / (Phi(1) - Phi(-1))).
CUT = math.sqrt(1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / math.erf(1 / math.sqrt(2)))
DEVIATION = 0.02 * CUT
ARCH = dict(embed_dims=96, num_layers=3, num_heads=3, feedforward_channels=384)


def started(**kwargs):
    """The backbone of an MFM with initialized weights."""
    model = dict(
        type='MFM',
        img_size=64,
        degradation=dict(type='FrequencyFilter', radius=5, low_pass_prob=0.5),
        backbone=dict(type='VisionTransformer', arch=ARCH, img_size=64, out_type='featmap'),
        head=dict(type='MFMHead', loss=dict(type='FrequencyLoss')),
    )
    model = MODELS.build(model | kwargs)
    model.init_weights()
    return model.backbone


def test_every_tensor():
    for name, tensor in started().state_dict().items():
        if tensor.ndim == 1:
            fill = 1.0 if name.endswith('weight') else 0.0
            assert (tensor == fill).all(), name  # norms and biases
            continue
        expected, bound = DEVIATION, 0.02
        if name.endswith(('attn.proj.weight', 'ffn.layers.1.weight')):
            block = int(name.split('.')[1]) + 1
            expected, bound = expected / math.sqrt(2 * block), bound / math.sqrt(2 * block)
        error = 6 / tensor.numel() ** 0.5
        assert tensor.std().item() == pytest.approx(expected, rel=error), name
        assert tensor.abs().max() <= bound * (1 + 1e-6), name
    assert pytest.approx(0.5396, abs=1e-4) == CUT


def test_a_config_that_names_an_initialization_is_followed():
    backbone = started(init_cfg=dict(type='Constant', layer='Linear', val=0.25))
    assert (backbone.layers[0].attn.qkv.weight == 0.25).all()


def test_the_head_keeps_its_own():
    torch.manual_seed(0)
    head = MODELS.build(
        dict(type='MFMHead', in_channels=96, stride=16, loss=dict(type='FrequencyLoss'))
    )
    # torch's default of a convolution: uniform within 1 / sqrt(inputs).
    assert head.projection.weight.std().item() == pytest.approx(96**-0.5 / 3**0.5, rel=0.02)
