"""Layer decay against a formula, mmpretrain's own constructor, and across libraries."""

import re

import mmdet.models
import mmpretrain.models
import mmseg.models
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from wamim_mm.optim.layer_decay import LayerDecayOptimWrapperConstructor, groups_table

LR, RATE, DECAY = 1e-2, 0.7, 0.05
OPTIMIZER = dict(type='AdamW', lr=LR, weight_decay=DECAY)
DEPTHS = [2, 1, 3]
SWIN = dict(embed_dims=8, depths=DEPTHS, num_heads=[1, 2, 4])


def mmpretrain_vit(**kwargs):
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    return mmpretrain.models.VisionTransformer(arch=arch, img_size=32, **kwargs)


def mmseg_vit():
    return mmseg.models.VisionTransformer(
        img_size=32, embed_dims=16, num_layers=4, num_heads=2, final_norm=True
    )


def mmpretrain_swin():
    return mmpretrain.models.SwinTransformer(arch=SWIN, out_indices=(0, 1, 2))


def mmdet_swin():
    return mmdet.models.SwinTransformer(**SWIN, strides=(4, 2, 2), out_indices=(0, 1, 2))


def mmseg_swin():
    return mmseg.models.SwinTransformer(**SWIN, strides=(4, 2, 2), out_indices=(0, 1, 2))


def model_of(backbone):
    """What a model of any library looks like to the constructor."""
    return torch.nn.ModuleDict(dict(backbone=backbone, head=torch.nn.Linear(3, 2)))


def groups_of(
    model, constructor='LayerDecayOptimWrapperConstructor', optimizer=OPTIMIZER, **paramwise
):
    """Parameter groups by the parameter's name."""
    cfg = dict(
        type='OptimWrapper',
        optimizer=optimizer,
        constructor=constructor,
        paramwise_cfg=dict(layer_decay_rate=RATE) | paramwise,
    )
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    of = {id(parameter): group for group in groups for parameter in group['params']}
    return {
        name.removeprefix('module.'): of[id(parameter)]
        for name, parameter in model.named_parameters()
        if id(parameter) in of
    }


def lrs_of(model):
    return {name: group['lr'] for name, group in groups_of(model).items()}


def lr_by_hand(name, blocks):
    """``lr * rate ** (layers - depth)``: 0 the embedding, 1 to L the blocks, L + 1 all behind them.

    Args:
        name: Of a parameter of ViT, Swin or a head.
        blocks: Blocks in each stage; ViT is one stage.
    """
    layers = sum(blocks) + 1
    block = re.match(r'backbone\.(?:layers|stages\.(\d)\.blocks)\.(\d+)\.', name)
    merging = re.match(r'backbone\.stages\.(\d)\.downsample\.', name)
    if block:
        depth = sum(blocks[: int(block[1] or 0)]) + int(block[2]) + 1
    elif merging:  # with the block before it
        depth = sum(blocks[: int(merging[1]) + 1])
    elif re.match(r'backbone\.(patch_embed\.|cls_token|pos_embed)', name):
        depth = 0
    else:
        assert re.match(r'head\.|backbone\.(ln1|norm[012])\.', name), name
        depth = layers
    return LR * RATE ** (layers - depth)


@pytest.mark.parametrize(
    ('build', 'blocks', 'scope'),
    [
        (mmpretrain_vit, [4], 'mmpretrain'),
        (mmseg_vit, [4], 'mmseg'),
        (mmpretrain_swin, DEPTHS, 'mmpretrain'),
        (mmdet_swin, DEPTHS, 'mmdet'),
        (mmseg_swin, DEPTHS, 'mmseg'),
    ],
)
def test_against_the_formula(build, blocks, scope):
    init_default_scope(scope)
    model = model_of(build())
    lrs = lrs_of(model)
    assert set(lrs) == {name for name, _ in model.named_parameters()}
    assert lrs == pytest.approx({name: lr_by_hand(name, blocks) for name in lrs})
    assert lrs['head.weight'] == LR
    assert min(lrs.values()) == pytest.approx(LR * RATE ** (sum(blocks) + 1))


def test_the_same_name_learns_alike_in_all_libraries():
    of_mmpretrain = lrs_of(model_of(mmpretrain_swin()))
    assert of_mmpretrain == lrs_of(model_of(mmdet_swin())) == lrs_of(model_of(mmseg_swin()))
    resnets = [package.models.ResNet(depth=50) for package in (mmpretrain, mmdet, mmseg)]
    of_resnet, *others = (lrs_of(model_of(resnet)) for resnet in resnets)
    assert len(set(of_resnet.values())) == 8 and others == [of_resnet, of_resnet]


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='VisionTransformer', arch='deit-tiny', out_type='cls_token'),
        dict(type='SwinTransformer', arch='tiny'),
        dict(type='ResNet', depth=50),
        dict(type='ConvNeXt', arch='atto'),
    ],
    ids=lambda backbone: backbone['type'],
)
def test_against_the_constructor_of_mmpretrain(backbone):
    head = dict(type='LinearClsHead', num_classes=3, in_channels=4)
    model = mmpretrain.models.ImageClassifier(backbone=backbone, head=head)
    options = dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.5,
        flat_decay_mult=0.1,
        custom_keys={'.cls_token': dict(decay_mult=0.2), 'stages.0': dict(decay_mult=0.3)},
    )
    ours = groups_of(model, **options)
    theirs = groups_of(model, 'LearningRateDecayOptimWrapperConstructor', **options)
    assert list(ours) == list(theirs)
    labels = ('params', 'param_name')
    for name, group in ours.items():
        assert {k: v for k, v in group.items() if k not in labels} == {
            k: v for k, v in theirs[name].items() if k not in labels
        }


def test_weight_decay():
    model = model_of(mmpretrain_vit(layer_scale_init_value=0.1))
    decays = {
        name: group['weight_decay'] / DECAY
        for name, group in groups_of(
            model,
            norm_decay_mult=0.1,
            bias_decay_mult=0.2,
            flat_decay_mult=0.3,
            custom_keys=dict(pos_embed=dict(decay_mult=0.4)),
        ).items()
    }
    assert decays['backbone.layers.1.ln2.bias'] == pytest.approx(0.1)
    assert decays['backbone.layers.1.attn.qkv.bias'] == pytest.approx(0.2)
    assert decays['backbone.layers.1.attn.gamma1.weight'] == pytest.approx(0.3)
    assert decays['backbone.pos_embed'] == pytest.approx(0.4)
    assert decays['backbone.layers.1.attn.qkv.weight'] == decays['backbone.cls_token'] == 1
    assert {group['weight_decay'] for group in groups_of(model).values()} == {DECAY}


def test_frozen_parameters_are_left_out():
    model = model_of(mmpretrain_vit(frozen_stages=2))
    assert set(groups_of(model)) == {n for n, p in model.named_parameters() if p.requires_grad}
    assert 'backbone.layers.2.ln1.weight' in groups_of(model)


def test_one_group_for_each_setting():
    model = model_of(mmpretrain_vit())
    groups = {id(group): group for group in groups_of(model, flat_decay_mult=0.0).values()}
    settings = {(group['lr'], group['weight_decay']) for group in groups.values()}
    # Norms alone have depth L + 1 beside the head's weight and bias; the embedding has both kinds.
    assert len(groups) == len(settings) == 2 * (4 + 2)


def test_looks_through_a_wrapper():
    model = model_of(mmseg_vit())
    assert lrs_of(torch.nn.DataParallel(model)) == lrs_of(model)


def test_one_is_no_decay():
    lrs = {g['lr'] for g in groups_of(model_of(mmdet_swin()), layer_decay_rate=1).values()}
    assert lrs == {LR}


def test_table():
    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Linear(1000, 2)

        def get_layer_depth(self, param_name, prefix):
            return (0 if param_name.startswith(prefix) else 1), 2

    constructor = LayerDecayOptimWrapperConstructor(
        dict(optimizer=dict(type='SGD', lr=0.5, weight_decay=0.1)),
        dict(layer_decay_rate=0.25, flat_decay_mult=0.0),
    )
    params = []
    constructor.add_params(params, model_of(Backbone()))
    assert (
        groups_table(params)
        == """
depth  lr scale  lr     weight decay  tensors  parameters  for example
0      0.25      0.125  0             1        2           backbone.stem.bias
0      0.25      0.125  0.1           1        2,000       backbone.stem.weight
1      1         0.5    0             1        2           head.bias
1      1         0.5    0.1           1        6           head.weight
""".strip()
    )


@pytest.mark.parametrize('wanted', [True, False])
def test_the_table_is_logged_on_request(monkeypatch, wanted):
    logged = []
    monkeypatch.setattr(
        'wamim_mm.optim.layer_decay.print_log', lambda text, logger: logged.append(text)
    )
    groups_of(model_of(mmdet_swin()), print_groups=wanted)
    assert len(logged) == int(wanted)
    assert all('backbone.stages.2.blocks.1' in text for text in logged)


@pytest.mark.parametrize(
    ('backbone', 'options', 'message'),
    [
        (mmseg_vit, dict(layer_decay_rate=0.0), 'must be above 0 and at most 1, got 0.0'),
        (mmseg_vit, dict(layer_decay_rate=1.01), 'must be above 0 and at most 1, got 1.01'),
        (mmseg_vit, dict(layer_decay_rate=None), 'got None; set it in paramwise_cfg'),
        (mmseg_vit, dict(decay_rate=0.9, num_layers=4), 'decay_rate, num_layers would have no eff'),
        (
            mmseg_vit,
            dict(custom_keys=dict(head=dict(lr_mult=10))),
            r"custom_keys\['head'\]\.lr_mult would have no effect; remove it",
        ),
        (mmseg_vit, dict(optimizer=dict(type='AdamW', lr=1e-3)), "needs 'weight_decay'"),
        (mmseg_vit, dict(optimizer=dict(type='AdamW', weight_decay=0.1)), "needs 'lr'"),
        (lambda: torch.nn.Linear(2, 2), {}, 'the layers of Linear in ModuleDict are not known'),
        (lambda: mmdet.models.PyramidVisionTransformer(), {}, 'layers of PyramidVisionTransformer'),
        (lambda: mmdet.models.ResNet(depth=18), {}, 'the layers of ResNet in .*get_layer_depth'),
        (lambda: mmpretrain.models.ResNet(depth=18), {}, 'the layers of ResNet in'),
    ],
)
def test_refuses(backbone, options, message):
    with pytest.raises(ValueError, match=message):
        groups_of(model_of(backbone()), **options)


def test_a_model_without_backbone():
    with pytest.raises(ValueError, match='Linear has no backbone'):
        groups_of(torch.nn.Linear(2, 2))
