"""WaMIMViT against mmpretrain's VisionTransformer, plain and with masked attention."""

import pytest
import torch
from mmpretrain.models import MAEViT, VisionTransformer

from wamim_mm import WaMIMViT
from wamim_mm.ops import gather_tokens, random_mask

from .dense_reference import hide_keys_vit, randomize

ARCH = dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96)


def pair(**kwargs):
    """Ours and the host with the same random weights, in eval mode."""
    kwargs = dict(arch=ARCH, img_size=64, patch_size=16, out_indices=[0, 2, 3]) | kwargs
    ours, host = WaMIMViT(**kwargs), VisionTransformer(**kwargs)
    randomize(ours)
    host.load_state_dict(ours.state_dict())
    # mmpretrain's backbones return None from train(), so eval() cannot be chained.
    ours.eval()
    host.eval()
    return ours, host


@pytest.mark.parametrize('out_type', ['raw', 'cls_token', 'featmap', 'avg_featmap'])
def test_without_a_mask_it_is_the_host(out_type):
    ours, host = pair(out_type=out_type)
    for size in (64, 96):
        x = torch.randn(2, 3, size, size)
        assert all(torch.equal(a, b) for a, b in zip(ours(x), host(x), strict=True))


@pytest.mark.parametrize(
    'kwargs',
    [
        {},
        dict(img_size=(64, 96)),
        dict(patch_size=8, img_size=32),
        dict(final_norm=False),
        dict(pre_norm=True),
        dict(with_cls_token=False, out_type='featmap'),
        dict(layer_scale_init_value=0.3),
    ],
    ids=str,
)
@pytest.mark.parametrize('ratio', [0.75, 0.3])
def test_visible_tokens_are_those_of_masked_attention(kwargs, ratio):
    ours, host = pair(**{'out_type': 'raw'} | kwargs)
    x = torch.randn(3, 3, *ours.img_size)
    mask = random_mask(3, ours.mask_grid(*ours.img_size), ratio)
    hide_keys_vit(host, mask)
    features, dense = ours(x, mask), host(x)
    assert len(features) == len(dense) == 3
    for feature, expected in zip(features, dense, strict=True):
        if expected.ndim == 4:  # a feature map, where there is no class token
            assert feature.cls_token is None
            expected = expected.flatten(2).transpose(1, 2)
        else:
            torch.testing.assert_close(feature.cls_token, expected[:, 0], atol=1e-5, rtol=0)
            expected = expected[:, 1:]
        expected = gather_tokens(expected, feature.positions)
        torch.testing.assert_close(feature.tokens, expected, atol=1e-5, rtol=0)
        hidden = mask.flatten(1).gather(1, feature.positions)
        assert not hidden.any()


def test_real_size():
    ours, host = pair(arch='deit-tiny', img_size=224, out_indices=[2, 5, 8, 11], out_type='raw')
    x = torch.randn(2, 3, 224, 224)
    mask = random_mask(2, (14, 14), 0.75)
    hide_keys_vit(host, mask)
    with torch.no_grad():
        for feature, expected in zip(ours(x, mask), host(x), strict=True):
            assert feature.tokens.shape == (2, 49, 192)
            expected = gather_tokens(expected[:, 1:], feature.positions)
            torch.testing.assert_close(feature.tokens, expected, atol=1e-5, rtol=0)


def test_gradients_are_those_of_masked_attention():
    ours, host = pair(out_type='raw')
    x = torch.randn(2, 3, 64, 64)
    mask = random_mask(2, (4, 4), 0.5)
    hide_keys_vit(host, mask)
    probe = torch.randn(2, 8, 48)
    feature = ours(x, mask)[-1]
    (feature.tokens * probe).sum().backward()
    (gather_tokens(host(x)[-1][:, 1:], feature.positions) * probe).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), host.parameters(), strict=True):
        if a.requires_grad:
            torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4, msg=name)


def test_hidden_pixels_change_nothing():
    ours, _ = pair()
    mask = random_mask(1, (4, 4), 0.75)
    x = torch.randn(1, 3, 64, 64)
    other = x.clone()
    hidden = mask.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None].expand_as(x)
    other[hidden] = float('nan')
    for a, b in zip(ours(x, mask), ours(other, mask), strict=True):
        assert torch.equal(a.tokens, b.tokens)


def test_position_embedding_is_fixed_sines_and_row_major():
    ours = WaMIMViT(arch=ARCH, img_size=(32, 64), patch_size=16)
    ours.init_weights()
    assert not ours.pos_embed.requires_grad
    embedding = ours.pos_embed[0, 1:].view(2, 4, 48)
    frequencies = 10000 ** (-torch.arange(12) / 12)
    row, column = 1, 3
    # Half of the channels tell the row, half the column.
    half = [torch.cat([f(i * frequencies) for f in (torch.sin, torch.cos)]) for i in (row, column)]
    torch.testing.assert_close(embedding[row, column], torch.cat(half))
    assert not ours.pos_embed[0, 0].any()


def test_the_initialization_is_that_of_mae():
    """Deviation and mean of every tensor, from the same config, against mmpretrain's MAEViT."""
    init_cfg = [
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ]
    ours, mae = (kind(arch='base', layer_cfgs={}, init_cfg=init_cfg) for kind in (WaMIMViT, MAEViT))
    for model in (ours, mae):
        # Four blocks are enough for what is the same in twelve.
        del model.layers[4:]
        model.init_weights()
    theirs = mae.state_dict()
    assert set(ours.state_dict()) == set(theirs)
    for name, tensor in ours.state_dict().items():
        deviation, expected = tensor.std(), theirs[name].std()
        # Of n draws: a deviation is known to 1 / sqrt(2 n), a mean to 1 / sqrt(n); six of those.
        error = 6 / tensor.numel() ** 0.5
        assert deviation == pytest.approx(expected.item(), rel=error, abs=1e-9), name
        difference = (tensor.mean() - theirs[name].mean()).abs()
        assert difference <= 1.5 * error * expected + 1e-9, name
    # Independent of mmpretrain: sqrt(2 / (inputs + outputs)), and MAE's 0.02.
    assert ours.patch_embed.projection.weight.std().item() == pytest.approx(0.0361, rel=0.01)
    assert ours.cls_token.std().item() == pytest.approx(0.02, rel=0.15)


def test_normed_features():
    assert pair()[0].features_normed == [False, False, True]
    assert pair(final_norm=False)[0].features_normed == [False, False, False]


def test_half_precision():
    ours, _ = pair()
    x, mask = torch.randn(2, 3, 64, 64), random_mask(2, (4, 4), 0.5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = ours(x, mask)[-1].tokens
    torch.testing.assert_close(half.float(), ours(x, mask)[-1].tokens, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ('size', 'grid', 'message'),
    [
        ((64, 64), (2, 2), r'mask of shape \(2, 4, 4\), got \(2, 2, 2\)'),
        ((72, 64), (4, 4), 'divisible by the mask unit of 16 pixels, got 72 x 64'),
    ],
)
def test_refuses(size, grid, message):
    ours, _ = pair()
    with pytest.raises(ValueError, match=message):
        ours(torch.randn(2, 3, *size), random_mask(2, grid, 0.5))


def test_refuses_patches_that_overlap():
    with pytest.raises(ValueError, match=r'must not overlap.*kernel \(16, 16\), stride \(8, 8\)'):
        WaMIMViT(arch=ARCH, img_size=64, patch_cfg=dict(stride=8))
