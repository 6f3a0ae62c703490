"""Position embeddings of images that are not square, handed over to other grids of patches."""

import copy
from types import SimpleNamespace

import mmpretrain.models
import mmseg.models
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_to_model
from torch.nn import functional as F

from wamim_mm import CheckpointFitHook, PretrainedFitHook, ViTDet, WaMIMSwinTransformer, WaMIMViT
from wamim_mm.models.position_grid import check_grid

ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)
SWIN = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2])


def resized(embedding, source, target, extra=1):
    """The bicubic resize of a (1, extra + rows * columns, C) embedding, written out."""
    patches = embedding[0, extra:].T.reshape(1, -1, *source)
    patches = F.interpolate(patches, size=target, mode='bicubic', align_corners=False)
    return torch.cat([embedding[:, :extra], patches.flatten(2).transpose(1, 2)], 1)


def checkpoint(tmp_path, backbone, config=True, prefix='backbone.', **args):
    """As a run writes it, every tensor drawn at random; its path and its tensors."""
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter)
    state = {f'{prefix}{name}': tensor for name, tensor in backbone.state_dict().items()}
    model = dict(type='WaMIM', backbone=dict(type=type(backbone).__name__, **args))
    text = Config(dict(default_scope='mmpretrain', model=model)).pretty_text
    path = str(tmp_path / 'source.pth')
    torch.save(dict(state_dict=state, meta=dict(cfg=text) if config else {}), path)
    return path, backbone.state_dict()


def vit(tmp_path, config=True, **args):
    args = dict(arch=ARCH, **args)
    return checkpoint(tmp_path, WaMIMViT(**args), config, **args)


def load(backbone, path, prefix='backbone.', allow_partial=False):
    """Load in the order of a Runner, with the hook; what it reports."""
    backbone.init_cfg = ConfigDict(type='Pretrained', checkpoint=path)
    if prefix:
        backbone.init_cfg.prefix = prefix
    log = []
    runner = SimpleNamespace(
        model=torch.nn.ModuleDict(dict(backbone=backbone)),
        logger=SimpleNamespace(info=log.append, warning=log.append),
        _resume=False,
        _load_from=None,
    )
    hook = PretrainedFitHook(allow_partial)
    schemes = dict(CheckpointLoader._schemes)
    hook.before_run(runner)
    backbone.init_weights()
    hook.before_train(runner)
    assert CheckpointLoader._schemes == schemes
    return '; '.join(log)


@pytest.mark.parametrize(
    ('source', 'target'),
    [
        ((64, 128), (128, 64)),  # as many tokens
        ((64, 128), (96, 96)),
        ((64, 128), (64, 64)),
        ((64, 64), (64, 128)),
        ((64, 64), (32, 128)),  # as many tokens
        ((64, 64), (128, 128)),
    ],
)
@pytest.mark.parametrize('host', [mmpretrain.models.VisionTransformer, ViTDet, WaMIMViT])
def test_resized_without_error(tmp_path, host, source, target):
    path, theirs = vit(tmp_path, img_size=source)
    backbone = host(arch=ARCH, img_size=target)
    said = load(backbone, path)
    grids = [[side // 16 for side in size] for size in (source, target)]
    (a, b), (c, d) = grids
    assert (
        f'loaded 30 of 30 backbone tensors, pos_embed resized from {a} x {b} to {c} x {d}' in said
    )
    assert torch.equal(backbone.pos_embed, resized(theirs['pos_embed'], *grids))
    assert torch.equal(backbone.layers[1].ln2.weight, theirs['layers.1.ln2.weight'])


def test_the_same_grid_is_copied(tmp_path):
    path, theirs = vit(tmp_path, img_size=(64, 128))
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=(64, 128))
    assert load(backbone, path) == f'loaded 30 of 30 backbone tensors, from {path}'
    assert torch.equal(backbone.pos_embed, theirs['pos_embed'])


def test_features_move_with_the_image(tmp_path):
    """An image of the old size, resized by the model itself, meets the same positions."""
    path, _ = vit(tmp_path, img_size=(64, 128))
    trained = mmpretrain.models.VisionTransformer(ARCH, img_size=(64, 128), out_type='featmap')
    moved = mmpretrain.models.VisionTransformer(ARCH, img_size=(128, 64), out_type='featmap')
    load(trained, path)
    load(moved, path)
    images = torch.randn(2, 3, 128, 64)
    torch.testing.assert_close(moved(images)[0], trained(images)[0], rtol=0, atol=1e-6)


def test_without_class_token(tmp_path):
    options = dict(with_cls_token=False, out_type='featmap')
    path, theirs = vit(tmp_path, img_size=(64, 128), **options)
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=(128, 64), **options)
    assert 'pos_embed resized from 4 x 8 to 8 x 4' in load(backbone, path)
    assert torch.equal(backbone.pos_embed, resized(theirs['pos_embed'], (4, 8), (8, 4), extra=0))


def test_another_patch_size_is_refused(tmp_path):
    path, _ = vit(tmp_path, img_size=(64, 128), patch_size=16)
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=(32, 64), patch_size=8)
    with pytest.raises(
        ValueError, match=r'patch_embed\.projection\.weight: \(8, 3, 16, 16\) there'
    ):
        load(backbone, path)


@pytest.mark.parametrize('target', [(128, 64), (64, 128), (64, 64)])
def test_a_file_that_does_not_say_its_grid(tmp_path, target):
    path, _ = vit(tmp_path, config=False, img_size=(64, 128))
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=target)
    with pytest.raises(ValueError, match=r'33 tokens, no square grid .* does not say .*meta\.cfg'):
        load(backbone, path)


def test_a_square_needs_no_config(tmp_path):
    path, theirs = vit(tmp_path, config=False, img_size=64)
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=(32, 128))
    assert 'resized from 4 x 4 to 2 x 8' in load(backbone, path)
    assert torch.equal(backbone.pos_embed, resized(theirs['pos_embed'], (4, 4), (2, 8)))


def test_mmseg(tmp_path):
    """mmseg reads the file by itself, without a prefix, and counts the sides in whole patches."""
    options = dict(embed_dims=8, num_layers=2, num_heads=2, mlp_ratio=2)
    source = mmseg.models.VisionTransformer(img_size=(64, 128), **options)
    path, theirs = checkpoint(tmp_path, source, prefix='', img_size=(64, 128))
    for size, grid in (((128, 64), (8, 4)), ((96, 64), (6, 4)), ((64, 128), (4, 8))):
        backbone = mmseg.models.VisionTransformer(img_size=size, **options)
        said = load(backbone, path, prefix=None)
        assert (f'resized from 4 x 8 to {grid[0]} x {grid[1]}' in said) == (grid != (4, 8))
        assert torch.equal(backbone.pos_embed, resized(theirs['pos_embed'], (4, 8), grid))


def test_swin_with_absolute_positions(tmp_path):
    args = dict(arch=SWIN, img_size=(32, 64), use_abs_pos_embed=True, out_indices=(0, 1))
    path, theirs = checkpoint(tmp_path, WaMIMSwinTransformer(**args), **args)
    backbone = mmpretrain.models.SwinTransformer(**dict(args, img_size=(64, 32)))
    assert 'absolute_pos_embed resized from 8 x 16 to 16 x 8' in load(backbone, path)
    expected = resized(theirs['absolute_pos_embed'], (8, 16), (16, 8), extra=0)
    assert torch.equal(backbone.absolute_pos_embed, expected)


def test_swin_without_them_takes_any_grid(tmp_path):
    args = dict(arch=SWIN, img_size=(64, 96), out_indices=(0, 1))
    path, _ = checkpoint(tmp_path, WaMIMSwinTransformer(**args), **args)
    backbone = mmpretrain.models.SwinTransformer(**dict(args, img_size=(96, 64)))
    assert 'resized' not in load(backbone, path)


# A checkpoint that a whole model starts from, or is tested with


def start(path, backbone, strict):
    """As `Runner.load_checkpoint` does it; what is logged."""
    log = []
    model = torch.nn.ModuleDict(dict(backbone=backbone))
    runner = SimpleNamespace(model=model, logger=SimpleNamespace(info=log.append), _resume=False)
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    CheckpointFitHook(strict).after_load_checkpoint(runner, content)
    _load_checkpoint_to_model(model, copy.copy(content), strict=strict)
    return log


@pytest.mark.parametrize('target', [(128, 64), (96, 32)])
def test_load_from(tmp_path, target):
    path, theirs = vit(tmp_path, img_size=(64, 128))
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=target)
    grid = tuple(side // 16 for side in target)
    said = start(path, backbone, strict=False)
    assert said == [f'backbone.pos_embed resized from 4 x 8 to {grid[0]} x {grid[1]}']
    assert torch.equal(backbone.pos_embed, resized(theirs['pos_embed'], (4, 8), grid))


def test_testing_needs_the_same_grid(tmp_path):
    path, theirs = vit(tmp_path, img_size=(64, 128))
    same = mmpretrain.models.VisionTransformer(ARCH, img_size=(64, 128))
    start(path, same, strict=True)
    assert torch.equal(same.pos_embed, theirs['pos_embed'])
    turned = mmpretrain.models.VisionTransformer(ARCH, img_size=(128, 64))
    with pytest.raises(ValueError, match=r'resized from 4 x 8 to 8 x 4 .* model.backbone.img_size'):
        start(path, turned, strict=True)


def test_load_from_a_file_that_does_not_say(tmp_path):
    path, _ = vit(tmp_path, config=False, img_size=(64, 128))
    backbone = mmpretrain.models.VisionTransformer(ARCH, img_size=(128, 64))
    with pytest.raises(ValueError, match=r'33 tokens, no square grid .*meta\.cfg'):
        start(path, backbone, strict=False)
    start(path, backbone, strict=True)


def test_commands_that_load_by_themselves(tmp_path):
    """The probe and the pictures; their models are no Runner's."""
    path, _ = vit(tmp_path, img_size=(64, 128))
    backbone = dict(arch=ARCH, img_size=(64, 128))
    content = torch.load(path)
    check_grid(WaMIMViT(**backbone), content)
    turned = WaMIMViT(**dict(backbone, img_size=(128, 64)))
    with pytest.raises(
        ValueError, match=r'resized from 4 x 8 to 8 x 4 .*model\.backbone\.img_size'
    ):
        check_grid(turned, content)
    check_grid(turned, dict(content, meta={}))  # who knows
    wrapped = {f'module.{name}': tensor for name, tensor in content['state_dict'].items()}
    with pytest.raises(ValueError, match='resized from 4 x 8'):
        check_grid(turned, dict(content, state_dict=wrapped))
