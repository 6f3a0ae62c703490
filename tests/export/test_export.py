"""The exported backbone computes in its target library what it computes in mmpretrain.

The models are made by the lines that the command prints.
"""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
import transformers
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from PIL import Image
from safetensors.torch import load_file

from wamim_mm.class_names import import_custom_modules
from wamim_mm.export import export_backbone
from wamim_mm.export.backbone import Backbone, read_backbone
from wamim_mm.export.conversion import write
from wamim_mm.export.to_timm import to_timm
from wamim_mm.export.to_transformers import to_transformers

VIT = dict(
    arch=dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96),
    img_size=64,
    patch_size=16,
    out_indices=[0, 2],
)
SWIN = dict(
    arch=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
    img_size=128,
    window_size=4,
    out_indices=(0, 1, 2, 3),
)
ARGS = {
    'WaMIMViT': VIT,
    'VisionTransformer': VIT,
    'WaMIMSwinTransformer': SWIN,
    'SwinTransformer': SWIN,
    'ResNet': dict(depth=18, out_indices=(0, 1, 2, 3)),
}
PREPROCESSOR = dict(
    type='PretrainDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
# Ours -> the class of mmpretrain whose tensors and arguments it has.
HOSTS = {'WaMIMViT': 'VisionTransformer', 'WaMIMSwinTransformer': 'SwinTransformer'}


def source(name, **kwargs):
    """A backbone of mmpretrain or of ours in which every tensor matters."""
    model = MODELS.build(dict(type=name, **ARGS[name] | kwargs))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim < 4:  # convolutions are random anyway
            tensor.add_(0.1 * torch.randn_like(tensor))
    model.eval()
    return model


def save(model, path, name, config=None, **kwargs):
    """A checkpoint of a run with this backbone, with what MMEngine's Runner puts in it."""
    args = dict(type=name, **ARGS[name] | kwargs)
    config = config or dict(
        default_scope='mmpretrain',
        data_preprocessor=PREPROCESSOR,
        model=dict(type='WaMIM', backbone=args, head=dict(type='WaMIMHead', loss_weights=(1.0,))),
        optim_wrapper=dict(paramwise_cfg=dict(custom_keys={'.ln': dict(decay_mult=0.0)})),
    )
    state = {f'backbone.{key}': tensor for key, tensor in model.state_dict().items()}
    state['neck.mask_token'] = torch.zeros(1)
    torch.save(dict(meta=dict(cfg=Config(config).pretty_text, epoch=1), state_dict=state), path)
    return str(path)


def made_by(printed, **replaced):
    """What the printed lines make: the last thing assigned, an argument of it replaced."""
    names = dict(timm=timm, torch=torch, transformers=transformers, safetensors=safetensors)
    exec('\n'.join(printed.splitlines()[:-1]), names)
    made = names.get('model') or names.get('backbone') or names['init_cfg']
    return made | replaced if replaced else made


def build(library, config, **replaced):
    """A backbone of mmdet's or mmseg's with its checkpoint."""
    config = ConfigDict(config | replaced)
    if '.' not in config.type:
        config.type = f'{library}.{config.type}'
    model = MODELS.build(config)
    model.init_weights()
    model.eval()
    return model


def assert_same(outputs, expected):
    assert len(outputs) == len(expected)
    for output, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, reference, atol=1e-5, rtol=1e-5)


@pytest.fixture
def export(tmp_path):
    """Save a source and export it; return what was printed and where it went."""

    def do(model, name, target, **kwargs):
        checkpoint = save(model, tmp_path / 'source.pth', name, **kwargs)
        return export_backbone(checkpoint, tmp_path / target, target), tmp_path / target

    return do


# --- the same features -------------------------------------------------------------------------


@pytest.mark.parametrize('name', ARGS)
@torch.no_grad()
def test_mmpretrain(export, name):
    model, x = source(name), torch.randn(2, 3, 128, 128)
    printed, _ = export(model, name, 'mmpretrain')
    config = dict(type=HOSTS.get(name, name), **ARGS[name], init_cfg=made_by(printed))
    target = MODELS.build(config)
    target.init_weights()
    target.eval()
    assert_same(target(x), model(x))


@torch.no_grad()
def test_vit(export):
    name = 'WaMIMViT'
    model, x = source(name, out_type='featmap'), torch.randn(2, 3, 64, 64)
    printed, _ = export(model, name, 'mmdet')
    assert_same(build('mmdet', made_by(printed))(x), model(x))

    printed, out = export(model, name, 'mmseg')
    config = made_by(printed, out_indices=(0, 2))
    assert_same(build('mmseg', config)(x), model(x))
    wide = torch.randn(2, 3, 96, 80)
    assert_same(build('mmseg', config)(wide), model(wide))
    # Every name has its place; mmseg's own configs say ``pretrained``.
    assert set(torch.load(out)['state_dict']) == set(build('mmseg', config).state_dict())
    config['pretrained'] = config.pop('init_cfg')['checkpoint']
    assert_same(build('mmseg', config)(x), model(x))

    tokens = source(name, out_type='raw', out_indices=[2])
    tokens.load_state_dict(model.state_dict())
    printed, _ = export(model, name, 'timm')
    assert_same([made_by(printed).eval().forward_features(x)], tokens(x))

    printed, out = export(model, name, 'transformers')
    assert_same([made_by(printed)(x).last_hidden_state], tokens(x))
    assert printed.endswith(f'wrote {out}: 42 of 42 backbone tensors for transformers')


@torch.no_grad()
def test_swin(export):
    name = 'WaMIMSwinTransformer'
    model, x = source(name), torch.randn(2, 3, 128, 128)
    # Stage 4 is one window wide here, which mmdet, mmseg and SwinBackbone shift, and mmpretrain
    # with this argument only. On the second size, whose windows are padded, all agree.
    shifting = source(name, pad_small_map=True)
    shifting.load_state_dict(model.state_dict())
    sizes = [x, torch.randn(1, 3, 160, 136)]
    for target in ('mmdet', 'mmseg'):
        printed, out = export(model, name, target)
        assert printed.endswith(f'wrote {out}: 125 of 125 backbone tensors for {target}')
        backbone = build(target, made_by(printed))
        for size in sizes:
            assert_same(backbone(size), shifting(size))
        assert_same(backbone(sizes[1]), model(sizes[1]))

    printed, _ = export(model, name, 'timm')
    assert '119 of 125 backbone tensors for timm; timm has no place for norm0.weight' in printed
    _, stages = made_by(printed).eval().forward_intermediates(x)
    stages = [
        getattr(model, f'norm{i}')(stage.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        for i, stage in enumerate(stages)
    ]
    assert_same(stages, model(x))
    last = made_by(printed).eval().forward_features(x)
    assert_same([last.permute(0, 3, 1, 2)], model(x)[-1:])

    printed, out = export(model, name, 'transformers')
    assert '125 of 125 backbone tensors for transformers' in printed
    last = made_by(printed)(x).last_hidden_state
    assert_same([last.transpose(1, 2).unflatten(2, (4, 4))], model(x)[-1:])
    backbone = transformers.SwinBackbone.from_pretrained(out)
    for size in sizes:
        assert_same(backbone(size).feature_maps, shifting(size))


@torch.no_grad()
def test_swin_with_a_smaller_window_in_the_last_stage(export):
    """As Swin-L is pre-trained; timm makes the same of one window_size, others have one for all."""
    kwargs = dict(window_size=8, stage_cfgs=[{}, {}, {}, dict(window_size=4)])
    model, x = source('SwinTransformer', **kwargs), torch.randn(1, 3, 128, 128)
    printed, _ = export(model, 'SwinTransformer', 'timm', **kwargs)
    last = made_by(printed).eval().forward_features(x)
    assert_same([last.permute(0, 3, 1, 2)], model(x)[-1:])
    for target in ('mmdet', 'mmseg', 'transformers'):
        with pytest.raises(ValueError, match=f'stage_cfgs=.* cannot be converted for {target}'):
            export(model, 'SwinTransformer', target, **kwargs)


@torch.no_grad()
def test_resnet(export):
    model, x = source('ResNet'), torch.randn(2, 3, 64, 96)
    for target in ('mmdet', 'mmseg'):
        printed, _ = export(model, 'ResNet', target)
        assert_same(build(target, made_by(printed))(x), model(x))


@pytest.mark.parametrize('size', [(64, 128), (128, 64)])
@torch.no_grad()
def test_images_that_are_not_square(export, size):
    """What is exported knows height from width, as its target's own arguments do."""
    kwargs = dict(img_size=size, out_type='featmap', out_indices=[2])
    model, x = source('WaMIMViT', **kwargs), torch.randn(2, 3, *size)
    grid = tuple(side // 16 for side in size)
    for target in ('mmdet', 'mmseg'):
        printed, _ = export(model, 'WaMIMViT', target, **kwargs)
        assert_same(build(target, made_by(printed))(x), model(x))
    printed, _ = export(model, 'WaMIMViT', 'timm', **kwargs)
    tokens = made_by(printed).eval().forward_features(x)[:, 1:]
    assert_same([tokens.transpose(1, 2).unflatten(2, grid)], model(x))
    printed, out = export(model, 'WaMIMViT', 'transformers', **kwargs)
    tokens = made_by(printed)(x).last_hidden_state[:, 1:]
    assert_same([tokens.transpose(1, 2).unflatten(2, grid)], model(x))
    assert tuple(transformers.ViTConfig.from_pretrained(out).image_size) == size


@pytest.mark.parametrize('size', [(64, 128), (128, 64)])
@torch.no_grad()
def test_images_that_are_not_square_for_swin(export, size):
    # With windows of 2, no stage is one window wide, and all hosts shift alike.
    kwargs = dict(arch=dict(SWIN['arch'], depths=[2, 2, 2, 1]), img_size=size, window_size=2)
    model, x = source('WaMIMSwinTransformer', **kwargs), torch.randn(2, 3, *size)
    for target in ('mmdet', 'mmseg'):
        printed, _ = export(model, 'WaMIMSwinTransformer', target, **kwargs)
        assert_same(build(target, made_by(printed))(x), model(x))
    printed, _ = export(model, 'WaMIMSwinTransformer', 'timm', **kwargs)
    last = made_by(printed).eval().forward_features(x)
    assert_same([last.permute(0, 3, 1, 2)], model(x)[-1:])
    _, out = export(model, 'WaMIMSwinTransformer', 'transformers', **kwargs)
    assert_same(transformers.SwinBackbone.from_pretrained(out)(x).feature_maps, model(x))


@pytest.mark.parametrize('channels', [1, 4])
@pytest.mark.parametrize('name', ['WaMIMViT', 'WaMIMSwinTransformer', 'ResNet'])
@torch.no_grad()
def test_grey_and_four_band_images(export, name, channels):
    kwargs = dict(in_channels=channels)
    if name == 'WaMIMViT':
        kwargs |= dict(out_type='featmap', out_indices=[2])
    elif name == 'WaMIMSwinTransformer':
        kwargs |= dict(window_size=2)
    size = 128 if 'Swin' in name else 64
    model, x = source(name, **kwargs), torch.randn(2, channels, size, size)
    for target in ('mmdet', 'mmseg'):
        printed, _ = export(model, name, target, **kwargs)
        assert_same(build(target, made_by(printed))(x), model(x))

    printed, _ = export(model, name, 'timm', **kwargs)
    assert f'in_chans={channels}' in printed
    found = made_by(printed).eval().forward_features(x)
    if name == 'WaMIMViT':
        found = found[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    elif name == 'WaMIMSwinTransformer':
        found = found.permute(0, 3, 1, 2)
    assert_same([found], model(x)[-1:])

    printed, out = export(model, name, 'transformers', **kwargs)
    if name == 'WaMIMViT':
        tokens = made_by(printed)(x).last_hidden_state[:, 1:]
        maps = [tokens.transpose(1, 2).unflatten(2, (4, 4))]
    else:
        kind = transformers.ResNetBackbone if name == 'ResNet' else transformers.SwinBackbone
        maps = kind.from_pretrained(out)(x).feature_maps
    assert_same(maps, model(x))


@pytest.mark.parametrize('depth', [18, 50])
@torch.no_grad()
def test_resnet_elsewhere(export, depth):
    model, x = source('ResNet', depth=depth), torch.randn(2, 3, 64, 96)
    total = len(model.state_dict())
    printed, _ = export(model, 'ResNet', 'timm', depth=depth)
    assert f'{total} of {total} backbone tensors for timm' in printed
    _, stages = made_by(printed).eval().forward_intermediates(x)
    assert_same(stages[1:], model(x))

    printed, out = export(model, 'ResNet', 'transformers', depth=depth)
    assert f'{total} of {total} backbone tensors for transformers' in printed
    assert_same(made_by(printed)(x).feature_maps, model(x))
    last = transformers.ResNetModel.from_pretrained(out)(x).last_hidden_state
    assert_same([last], model(x)[-1:])


@torch.no_grad()
def test_a_fine_tuned_vit_with_mean_pooling(export):
    kwargs = dict(out_type='avg_featmap', out_indices=[2])
    x = torch.randn(2, 3, 64, 64)
    pooled = source('VisionTransformer', final_norm=False, **kwargs)
    printed, out = export(pooled, 'VisionTransformer', 'timm', final_norm=False, **kwargs)
    assert "global_pool='avg'" in printed and '42 of 42' in printed
    assert_same([made_by(printed).eval()(x)], pooled(x))
    with pytest.raises(ValueError, match='final_norm=False cannot be converted'):
        export(pooled, 'VisionTransformer', 'transformers', final_norm=False, **kwargs)

    # With both norms the tokens are the same; the norm of the mean is left out, by name.
    out.unlink()
    both = source('VisionTransformer', **kwargs)
    printed, _ = export(both, 'VisionTransformer', 'timm', **kwargs)
    assert '42 of 44 backbone tensors' in printed
    assert printed.endswith('; timm has no place for ln2.weight, ln2.bias')
    tokens = made_by(printed).eval().forward_features(x)
    assert_same([both.ln2(tokens[:, 1:].mean(1))], both(x))


def test_timm_without_a_norm(export):
    kwargs = dict(final_norm=False, out_type='featmap', out_indices=[2])
    model, x = source('VisionTransformer', **kwargs), torch.randn(2, 3, 64, 64)
    printed, _ = export(model, 'VisionTransformer', 'timm', **kwargs)
    with torch.no_grad():
        tokens = made_by(printed).eval().forward_features(x)
        assert_same([tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))], model(x))


# --- the same images ---------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['VisionTransformer', 'SwinTransformer', 'ResNet'])
@torch.no_grad()
def test_images_for_transformers(export, name):
    """Its processor and pipeline make of a file what mmpretrain makes of it."""
    model = source(name)
    printed, out = export(model, name, 'transformers')
    exec(printed.splitlines()[0], names := dict(transformers=transformers))
    side = dict(VisionTransformer=64, SwinTransformer=128, ResNet=224)[name]
    bgr = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    image = Image.fromarray(bgr[..., ::-1])
    batch = dict(inputs=torch.from_numpy(bgr).permute(2, 0, 1)[None], data_samples=None)
    x = MODELS.build(PREPROCESSOR)(batch)['inputs']
    found = names['images'](image, return_tensors='pt').pixel_values
    torch.testing.assert_close(found, x, atol=1e-5, rtol=0)
    assert names['images'](image.resize((90, 50))).pixel_values[0].shape == (3, side, side)

    features = transformers.pipeline('image-feature-extraction', model=str(out))(image)
    last = transformers.AutoModel.from_pretrained(out).eval()(x).last_hidden_state
    torch.testing.assert_close(torch.tensor(features), last, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('channels', [3, 4])
@pytest.mark.parametrize(
    ('name', 'args'),
    [
        ('VisionTransformer', dict(arch='deit-tiny', img_size=224, out_type='featmap')),
        ('SwinTransformer', dict(arch='tiny', img_size=224, out_indices=(0, 1, 2, 3))),
        ('ResNet', dict(depth=18, out_indices=(0, 1, 2, 3))),
    ],
)
@torch.no_grad()
def test_images_and_maps_for_timm(tmp_path, monkeypatch, name, args, channels):
    """The line tells timm how images are normalized, and gives feature maps instead of a vector."""
    args = dict(args, in_channels=channels)
    monkeypatch.setitem(ARGS, name, args)
    preprocessor = dict(PREPROCESSOR, mean=[10] * channels, std=[20] * channels)
    preprocessor['to_rgb'] = channels == 3
    config = dict(
        data_preprocessor=preprocessor,
        model=dict(backbone=dict(args, type=f'mmpretrain.{name}')),
    )
    model, x = source(name), torch.randn(1, channels, 224, 224)
    checkpoint = save(model, tmp_path / 'a.pth', name, config)
    printed = export_backbone(checkpoint, tmp_path / 'timm.pth', 'timm')
    images = timm.data.resolve_model_data_config(made_by(printed))
    expected = (channels, 224, 224), (10 / 255,) * channels, (20 / 255,) * channels
    assert images['input_size'] == expected[0]
    assert np.allclose([images['mean'], images['std']], expected[1:], atol=1e-6)

    maps = made_by('features_only=True'.join(printed.rsplit('num_classes=0', 1)))
    found = maps.eval()(x)[-1]  # without the norm behind it
    if name == 'SwinTransformer':
        found = model.norm3(found).permute(0, 3, 1, 2)
    elif name == 'VisionTransformer':
        found = model.ln1(found.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert_same([found], model(x)[-1:])


def test_images_that_are_not_rgb(tmp_path):
    """What other libraries would get wrong is not written, and said."""
    config = dict(
        data_preprocessor=dict(PREPROCESSOR, to_rgb=False),
        model=dict(backbone=dict(ARGS['ResNet'], type='mmpretrain.ResNet')),
    )
    checkpoint = save(source('ResNet'), tmp_path / 'a.pth', 'ResNet', config)
    for target in ('timm', 'transformers'):
        printed = export_backbone(checkpoint, tmp_path / target, target)
        assert 'mean' not in printed and 'AutoImageProcessor' not in printed
        assert printed.endswith(
            'its data_preprocessor makes no RGB images: normalize them as it does'
        )
    assert not (tmp_path / 'transformers/preprocessor_config.json').exists()


@torch.no_grad()
def test_the_class_token_of_a_classifier(tmp_path):
    """Fine-tuning has trained it, so that timm gives it; its own lines and ONNX have the rest."""
    model, x = source('VisionTransformer', out_indices=-1), torch.randn(2, 3, 64, 64)
    backbone = dict(VIT, type='VisionTransformer', out_indices=-1)
    head = dict(type='VisionTransformerClsHead', num_classes=4, in_channels=48)
    config = dict(default_scope='mmpretrain', data_preprocessor=PREPROCESSOR)
    for kind, pool in (('ImageClassifier', 'token'), ('WaMIM', 'avg'), ('SomebodysOwn', 'avg')):
        config['model'] = dict(type=kind, backbone=backbone, head=head)
        checkpoint = save(model, tmp_path / 'a.pth', 'VisionTransformer', config)
        made = made_by(export_backbone(checkpoint, tmp_path / kind, 'timm')).eval()
        assert made.global_pool == pool
        model.out_type = 'cls_token' if pool == 'token' else 'featmap'
        expected = model(x)[-1]
        assert_same([made(x)], [expected.mean((2, 3)) if pool == 'avg' else expected])


@torch.no_grad()
@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('MFM', dict(out_type='featmap')),
        ('ImageClassifier', dict(out_type='featmap')),
        ('MFM', dict(out_type='featmap', final_norm=False)),
    ],
)
def test_a_vit_that_is_read_by_its_patches(kind, options, tmp_path):
    options = dict(options, out_indices=[2])
    model, x = source('VisionTransformer', **options), torch.randn(2, 3, 64, 64)
    config = dict(
        default_scope='mmpretrain',
        data_preprocessor=PREPROCESSOR,
        model=dict(
            type=kind,
            backbone=dict(VIT, type='VisionTransformer', **options),
            head=dict(type='LinearClsHead', num_classes=4, in_channels=48),
        ),
    )
    checkpoint = save(model, tmp_path / 'a.pth', 'VisionTransformer', config)
    made = made_by(export_backbone(checkpoint, tmp_path / 'out', 'timm')).eval()
    assert_same([made(x)], [model(x)[-1].mean((2, 3))])


@torch.no_grad()
@pytest.mark.parametrize('target', ['mmdet', 'mmseg', 'timm', 'transformers', 'onnx'])
def test_how_attention_was_computed_does_not_matter(target, tmp_path):
    model = source('WaMIMSwinTransformer')
    path = save(model, tmp_path / 'a.pth', 'WaMIMSwinTransformer', flex_attention=True)
    assert export_backbone(path, tmp_path / f'out.{target}', target)


def test_the_order_of_four_bands_is_said(tmp_path):
    args = dict(ARGS['ResNet'], in_channels=4)
    config = dict(
        data_preprocessor=dict(PREPROCESSOR, mean=[1, 2, 3, 4], std=[1] * 4, to_rgb=False),
        model=dict(backbone=dict(args, type='mmpretrain.ResNet')),
    )
    checkpoint = save(source('ResNet', in_channels=4), tmp_path / 'a.pth', 'ResNet', config)
    printed = export_backbone(checkpoint, tmp_path / 'timm.pth', 'timm')
    assert 'of its four channels the first and the third are exchanged' in printed


@torch.no_grad()
@pytest.mark.parametrize('size', [64, (96, 64)])
def test_images_of_a_resnet_are_its_runs(tmp_path, size):
    """It takes others too, and the hosts would enlarge small ones without a word."""
    backbone = dict(ARGS['ResNet'], type='ResNet')
    model = dict(type='MFM', img_size=size, backbone=backbone)
    config = dict(default_scope='mmpretrain', data_preprocessor=PREPROCESSOR, model=model)
    checkpoint = save(source('ResNet'), tmp_path / 'a.pth', 'ResNet', config)
    height, width = (64, 64) if size == 64 else size
    printed = export_backbone(checkpoint, tmp_path / 'timm.pth', 'timm')
    images = timm.data.resolve_model_data_config(made_by(printed))
    assert images['input_size'] == (3, height, width)
    printed = export_backbone(checkpoint, tmp_path / 'transformers', 'transformers')
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / 'transformers')
    picture = Image.new('RGB', (width, height))
    assert processor(picture, return_tensors='pt')['pixel_values'].shape == (1, 3, height, width)
    printed = export_backbone(checkpoint, tmp_path / 'a.onnx', 'onnx')
    assert f'(N, 3, {height}, {width})' in printed


@torch.no_grad()
def test_small_patches_of_swin(tmp_path):
    """As `wamim pretrain` chooses them for small images."""
    patch = dict(patch_cfg=dict(kernel_size=2, stride=2), img_size=64)
    model, x = source('SwinTransformer', **patch), torch.randn(2, 3, 64, 64)
    checkpoint = save(model, tmp_path / 'a.pth', 'SwinTransformer', **patch)
    last = model(x)[-1]
    made = made_by(export_backbone(checkpoint, tmp_path / 'timm', 'timm')).eval()
    assert_same([made(x)], [last.mean((2, 3))])
    made = made_by(export_backbone(checkpoint, tmp_path / 'transformers', 'transformers')).eval()
    assert_same([made(x).last_hidden_state.mean(1)], [last.mean((2, 3))])

    # Both libraries' Swins shift the windows of a stage that is one window wide.
    for library in ('mmdet', 'mmseg'):
        printed = export_backbone(checkpoint, tmp_path / library, library)
        assert 'patch_size=2, strides=(2, 2, 2, 2)' in printed
        made = build(library, made_by(printed))
        assert_same(made(x)[:-1], model(x)[:-1])

    overlapping = dict(patch_cfg=dict(kernel_size=7, stride=4, padding=3))
    checkpoint = save(
        source('SwinTransformer', **overlapping), checkpoint, 'SwinTransformer', **overlapping
    )
    with pytest.raises(ValueError, match=r'patch_cfg=.* only with its default'):
        export_backbone(checkpoint, tmp_path / 'b', 'timm')


# --- full size ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('config', 'timm_name', 'counts'),
    [
        ('wamim_vit-b', 'vit_base_patch16_224', (150, 150)),
        ('wamim_vit-s', 'vit_small_patch16_224', (150, 150)),
        ('wamim_swin-b', 'swin_base_patch4_window7_224', (327, 333)),
        ('r50', 'resnet50', (318, 318)),
    ],
)
@torch.no_grad()
def test_full_size(root, monkeypatch, config, timm_name, counts):
    """The backbones of the pre-training configs, and the models that timm has a name for."""
    args = dict(type='ResNet', depth=50)
    if config != 'r50':
        args = Config.fromfile(root / f'configs/pretrain/{config}.py').model.backbone.to_dict()
    model = MODELS.build(args)
    model.eval()
    name = args.pop('type')
    backbone = Backbone(HOSTS.get(name, name), args, model.state_dict(), config='')
    held, total = counts
    assert len(backbone.weights) == total
    assert to_transformers(backbone).left_out == []  # it loads all strictly, as timm below

    made, create = [], timm.create_model
    monkeypatch.setattr(
        timm, 'create_model', lambda *a, **k: made.append(create(*a, **k)) or made[0]
    )
    handover = to_timm(backbone)
    # Nothing trains the class token in pre-training.
    mean = ", global_pool='avg', fc_norm=False" if 'vit' in config else ''
    assert handover.usage == [
        f"model = timm.create_model('{timm_name}', pretrained=True, "
        f"pretrained_cfg_overlay=dict(file='OUT', num_classes=0), num_classes=0{mean})"
    ]
    assert len(handover.left_out) == total - held
    x = torch.randn(1, 3, 224, 224)
    if 'vit' in config:
        model.out_type = 'featmap'
    last = model(x)[-1]
    assert_same([made[0].eval()(x)], [last.mean((2, 3)) if last.ndim == 4 else last])


# --- another input or window size --------------------------------------------------------------


def test_vit_at_another_size(export):
    from mmpretrain.models.utils import resize_pos_embed
    from mmseg.models import VisionTransformer

    model = source('WaMIMViT')
    printed, _ = export(model, 'WaMIMViT', 'mmpretrain')
    target = MODELS.build(
        dict(type='VisionTransformer', **VIT | dict(img_size=(96, 128)), init_cfg=made_by(printed))
    )
    target.init_weights()
    assert_same([target.pos_embed], [resize_pos_embed(model.pos_embed, (4, 4), (6, 8))])

    printed, _ = export(model, 'WaMIMViT', 'mmseg')
    target = build('mmseg', made_by(printed, img_size=(96, 128)))
    with_bias = model.pos_embed.detach().clone()
    with_bias[:, 1:] += model.patch_embed.projection.bias
    resized = VisionTransformer.resize_pos_embed(with_bias, (6, 8), (4, 4), 'bicubic')
    assert_same([target.pos_embed], [resized])


def tables(model):
    return {k: v for k, v in model.state_dict().items() if 'bias_table' in k}


@pytest.mark.parametrize('target', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('window', [2, 6])
def test_swin_at_another_window(export, target, window):
    model = source('WaMIMSwinTransformer')
    printed, _ = export(model, 'WaMIMSwinTransformer', target)
    resized = tables(build(target, made_by(printed, window_size=window)))
    for key, table in tables(model).items():
        grid = table.T.reshape(1, -1, 7, 7)
        expected = F.interpolate(grid, (2 * window - 1,) * 2, mode='bicubic').flatten(2)[0].T
        assert_same([resized[key]], [expected])


def test_mmdets_swin_needs_the_export_for_another_window(tmp_path):
    """As trained, the checkpoint holds index tables of its own window size."""
    checkpoint = save(source('WaMIMSwinTransformer'), tmp_path / 'a.pth', 'WaMIMSwinTransformer')
    config = dict(type='SwinTransformer', **SWIN['arch'])
    config['init_cfg'] = dict(type='Pretrained', checkpoint=checkpoint)
    build('mmdet', config, window_size=4)
    with pytest.raises(RuntimeError, match='relative_position_index'):
        build('mmdet', config, window_size=6)


@pytest.mark.parametrize('window', [2, 6])
def test_mmpretrains_swin_at_another_window(export, window):
    from mmpretrain.models.utils import resize_relative_position_bias_table

    model = source('WaMIMSwinTransformer')
    printed, _ = export(model, 'WaMIMSwinTransformer', 'mmpretrain')
    config = dict(type='SwinTransformer', **SWIN, init_cfg=made_by(printed))
    target = MODELS.build(config | dict(window_size=window))
    target.init_weights()
    resized = tables(target)
    for key, table in tables(model).items():
        size = 2 * window - 1
        expected = resize_relative_position_bias_table(7, size, table, table.shape[1])
        assert_same([resized[key]], [expected])


# --- the command -------------------------------------------------------------------------------


def command(root, monkeypatch, *arguments):
    """Run tools/export_backbone.py in this process; what it exits with, if it does."""
    monkeypatch.setattr(sys, 'argv', ['export_backbone.py', *map(str, arguments)])
    try:
        runpy.run_path(str(root / 'tools' / 'export_backbone.py'), run_name='__main__')
    except SystemExit as stopped:
        return stopped.code
    return None


def test_command_on_a_checkpoint_of_a_run(root, tmp_path, monkeypatch, capsys):
    cfg = Config.fromfile(root / 'configs/demo/wamim_vit.py')
    model = MODELS.build(cfg.model)
    runner = Runner(
        model,
        str(tmp_path),
        train_dataloader=torch.utils.data.DataLoader([0]),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=OptimWrapper(torch.optim.AdamW(model.parameters())),
        default_scope='mmpretrain',
        log_level='WARNING',
        experiment_name=tmp_path.name,
        cfg=cfg,
    )
    runner.save_checkpoint(str(tmp_path), 'epoch_1.pth')
    capsys.readouterr()
    out = tmp_path / 'new' / 'folder' / 'vit.pth'
    arguments = (tmp_path / 'epoch_1.pth', out, '--to', 'timm')
    assert command(root, monkeypatch, *arguments) is None
    total = len(model.backbone.state_dict())
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f'wrote {out}: {total} of {total} backbone tensors for timm'
    assert set(torch.load(out)) >= {'cls_token', 'norm.weight'}

    assert command(root, monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert said == f'export_backbone.py: {out} exists; remove it or choose another name\n'


@pytest.mark.parametrize('target', ['mmpretrain', 'timm'])
@torch.no_grad()
def test_safetensors(tmp_path, target):
    """What is printed loads the file; and that of an MM library can be exported again."""
    model, x = source('WaMIMSwinTransformer'), torch.randn(1, 3, 128, 128)
    source_file = save(model, tmp_path / 'source.pth', 'WaMIMSwinTransformer')
    out, plain = tmp_path / 'out.safetensors', tmp_path / 'out.pth'
    printed = export_backbone(source_file, out, target)
    export_backbone(source_file, plain, target)
    assert load_file(out).keys() == torch.load(plain).get('state_dict', torch.load(plain)).keys()
    if target == 'timm':
        timm_model = made_by(printed).eval()
        export_backbone(source_file, tmp_path / 'again.pth', 'timm')
        state = torch.load(tmp_path / 'again.pth')
        assert all(torch.equal(state[k], v) for k, v in timm_model.state_dict().items())
        return
    assert "MMEngine reads it with custom_imports = dict(imports=['wamim_mm'])" in printed
    made = dict(type='WaMIMSwinTransformer', **SWIN, init_cfg=made_by(printed))
    loaded = MODELS.build(made)
    loaded.init_weights()
    loaded.eval()
    assert_same(loaded(x), model(x))
    export_backbone(str(out), tmp_path / 'again.pth', 'mmpretrain')
    state, again = load_file(out), torch.load(tmp_path / 'again.pth')['state_dict']
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_safetensors_of_what_is_tied_or_a_folder(tmp_path, monkeypatch):
    one = torch.arange(6.0).reshape(2, 3)
    tied = {'a': one, 'b': one, 'c': one.T, 'd': one[0]}
    write(tied, tmp_path / 'tied.safetensors', 'text')
    found = load_file(tmp_path / 'tied.safetensors')
    assert found.keys() == tied.keys()
    assert all(torch.equal(found[name], tied[name]) for name in tied)
    checkpoint = save(source('WaMIMViT'), tmp_path / 'a.pth', 'WaMIMViT')
    with pytest.raises(ValueError, match='writes a folder, whose weights are of safetensors'):
        export_backbone(checkpoint, tmp_path / 'b.safetensors', 'transformers')
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(ImportError, match=r'needs safetensors .*pip install safetensors'):
        write(tied, tmp_path / 'other.safetensors')


def test_bad_files(root, tmp_path, monkeypatch, capsys):
    whole = Path(save(source('WaMIMViT'), tmp_path / 'whole.pth', 'WaMIMViT'))
    cut, bare, headless = (tmp_path / f'{name}.pth' for name in ('cut', 'bare', 'headless'))
    cut.write_bytes(whole.read_bytes()[:1000])
    torch.save({'conv.weight': torch.zeros(1)}, bare)
    torch.save(torch.load(whole) | dict(state_dict={'conv.weight': torch.zeros(1)}), headless)
    for file, message in (
        (cut, 'is cut short'),
        (tmp_path / 'missing.pth', "missing.pth' does not exist"),
        (bare, "does not hold its run's config (meta.cfg)"),
        (headless, 'holds no tensor with a name in backbone.*'),
    ):
        assert command(root, monkeypatch, file, tmp_path / 'out', '--to', 'mmseg') == 2
        said = capsys.readouterr().err
        assert said.startswith('export_backbone.py: ') and message in said
        assert said.count('\n') == 1 and not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('backbone', 'scope', 'message'),
    [
        (dict(type='BEiTViT', arch='base'), 'mmpretrain', "is 'BEiTViT' in the scope 'mmpretrain'"),
        (dict(type='SwinTransformer', depths=(2, 2)), 'mmdet', "in the scope 'mmdet'; supported"),
        (dict(type='mmdet.ResNet', depth=50), 'mmpretrain', "is 'mmdet.ResNet'"),
    ],
)
def test_other_backbones(tmp_path, backbone, scope, message):
    config = dict(default_scope=scope, model=dict(backbone=backbone))
    checkpoint = save(source('WaMIMViT'), tmp_path / 'a.pth', 'WaMIMViT', config)
    with pytest.raises(ValueError) as error:
        read_backbone(checkpoint)
    assert message in str(error.value)


def test_scopes(tmp_path):
    """As in a detector's config, in two ways, and as in a config of imported classes."""
    for where in (
        dict(type='mmpretrain.SwinTransformer'),
        dict(type='SwinTransformer', _scope_='mmpretrain'),
        dict(type='wamim_mm.models.wamim.swin.WaMIMSwinTransformer'),
    ):
        config = dict(default_scope='mmdet', model=dict(backbone=where | SWIN))
        checkpoint = save(source('SwinTransformer'), tmp_path / 'a.pth', 'SwinTransformer', config)
        backbone = read_backbone(checkpoint)
        assert backbone.host == 'SwinTransformer' and backbone.args == SWIN


def test_a_config_is_not_run(tmp_path):
    victim = tmp_path / 'victim'
    config = f'model = dict(backbone=dict(type=open({str(victim)!r}, "w").name))'
    torch.save(dict(meta=dict(cfg=config), state_dict={}), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'the config in .* cannot be read'):
        read_backbone(str(tmp_path / 'a.pth'))
    assert not victim.exists()


@pytest.mark.parametrize('target', ['mmseg', 'timm', 'transformers'])
@pytest.mark.parametrize(
    ('name', 'argument', 'message'),
    [
        ('VisionTransformer', dict(pre_norm=True), 'pre_norm=True cannot be converted for {}'),
        ('VisionTransformer', dict(layer_scale_init_value=0.1), 'layer_scale_init_value=0.1'),
        ('VisionTransformer', dict(qkv_bias=False), 'qkv_bias=False'),
        ('VisionTransformer', dict(with_cls_token=False, out_type='featmap'), 'with_cls_token'),
        ('SwinTransformer', dict(use_abs_pos_embed=True), 'use_abs_pos_embed=True'),
        ('SwinTransformer', dict(stage_cfgs=dict(block_cfgs=dict())), 'stage_cfgs='),
        ('ResNet', dict(avg_down=True), 'avg_down=True cannot be converted for {}, only with'),
        ('ResNet', dict(style='caffe'), "style='caffe'"),
    ],
)
def test_architectures_that_cannot_be_converted(export, target, name, argument, message):
    model = source(name, **argument)
    with pytest.raises(ValueError) as error:
        export(model, name, target, **argument)
    assert message.format(target) in str(error.value)
    export(model, name, 'mmpretrain', **argument)


def test_swin_without_its_last_norm(export):
    kwargs = dict(out_indices=(0, 1))
    model = source('SwinTransformer', **kwargs)
    for target in ('timm', 'transformers'):
        with pytest.raises(ValueError, match='lacks the norm of its last stage'):
            export(model, 'SwinTransformer', target, **kwargs)


@pytest.mark.parametrize('target', ['timm', 'transformers'])
def test_target_not_installed(export, monkeypatch, target):
    monkeypatch.setitem(sys.modules, target, None)
    with pytest.raises(ImportError, match=f'--to {target} needs {target} .*pip install {target}'):
        export(source('WaMIMViT'), 'WaMIMViT', target)


OWN = """
from mmpretrain.registry import MODELS
from wamim_mm import WaMIMViT

@MODELS.register_module()
class {name}(WaMIMViT):
    def __init__(self, own=0, **kwargs):
        super().__init__(**kwargs)
"""


def test_a_class_of_the_user(tmp_path, monkeypatch):
    """Imported by the user and not by the checkpoint, it goes as far as its parent's arguments."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_encoder.py').write_text(OWN.format(name='TiV'))
    model = source('WaMIMViT')
    args = dict(type='TiV', **VIT)
    custom = dict(custom_imports=dict(imports=['own_encoder']), default_scope='mmpretrain')
    for own in ({}, {'own': 1}):
        config = dict(model=dict(backbone=args | own), **custom)
        save(model, tmp_path / f'{len(own)}.pth', 'WaMIMViT', config)
    save(model, tmp_path / 'plain.pth', 'WaMIMViT')
    with pytest.raises(ValueError, match=r"is 'TiV' .* whose module --custom-imports names"):
        export_backbone(str(tmp_path / '0.pth'), tmp_path / 'out', 'timm')
    assert 'own_encoder' not in sys.modules
    import_custom_modules(dict(custom_imports=dict(imports=['own_encoder'])))
    for name in ('0', 'plain'):
        export_backbone(str(tmp_path / f'{name}.pth'), tmp_path / f'{name}.timm', 'timm')
    found, expected = (torch.load(tmp_path / f'{name}.timm') for name in ('0', 'plain'))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    with pytest.raises(ValueError, match='no argument own, as its subclass'):
        export_backbone(str(tmp_path / '1.pth'), tmp_path / 'out', 'timm')
    export_backbone(str(tmp_path / '1.pth'), tmp_path / 'own.pth', 'mmpretrain')


@pytest.mark.parametrize(
    ('written', 'known'),
    [
        ("'wamim_mm.WaMIMViT'", True),
        ("'wamim_mm.models.WaMIMViT'", True),
        ('wamim_mm.models.wamim.vit.WaMIMViT', True),  # as the fork writes a class
        ("'mmpretrain.models.VisionTransformer'", True),
        ("'mmpretrain.models.MAEViT'", False),  # of other tensors than its parent, and no user's
        ("'os.system'", False),
        ("'this.s'", False),  # a module that says something when it is imported
    ],
)
def test_ways_to_write_a_class(tmp_path, written, known):
    config = f'model = dict(backbone=dict(type={written}, arch="deit-tiny"))'
    content = dict(meta=dict(cfg=config), state_dict={'backbone.x': torch.zeros(1)})
    torch.save(content, tmp_path / 'a.pth')
    if known:
        assert read_backbone(str(tmp_path / 'a.pth')).host == 'VisionTransformer'
    else:
        with pytest.raises(ValueError, match='supported are'):
            read_backbone(str(tmp_path / 'a.pth'))
        assert 'this' not in sys.modules


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    """In a process of its own whose files may have 50 kB."""
    config = dict(model=dict(backbone=dict(ARGS['ResNet'], type='mmpretrain.ResNet')))
    checkpoint = save(source('ResNet'), tmp_path / 'run.pth', 'ResNet', config)
    exports = {'a.pth': 'mmpretrain', 'a.safetensors': 'mmpretrain', 'folder': 'transformers'}
    code = (
        'import resource, sys; from pathlib import Path\n'
        'from wamim_mm.export import export_backbone\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n'
        f'for name, target in {exports}.items():\n'
        '    try:\n'
        '        export_backbone(sys.argv[1], Path(sys.argv[2], name), target)\n'
        '    except Exception as error:\n'
        '        print(name, error)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, checkpoint, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if 'File too large' in line]
    assert [line.split()[0] for line in said] == list(exports)
    assert [path.name for path in tmp_path.iterdir()] == ['run.pth']
    for name, target in exports.items():
        out = tmp_path / name
        export_backbone(checkpoint, out, target)  # the way is free
        files = [out] if out.is_file() else list(out.iterdir())
        assert {file.stat().st_mode for file in files} == {Path(checkpoint).stat().st_mode}


def test_lines_for_a_path_with_quotes(tmp_path):
    config = dict(model=dict(backbone=dict(ARGS['ResNet'], type='mmpretrain.ResNet')))
    checkpoint = save(source('ResNet'), tmp_path / 'run.pth', 'ResNet', config)
    out = tmp_path / "a 'b'.pth"
    *lines, _ = export_backbone(checkpoint, out, 'timm').splitlines()
    assert any(repr(str(out)) in line for line in lines)
    for line in lines:
        compile(line, 'printed', 'exec')
