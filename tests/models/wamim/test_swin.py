"""WaMIMSwinTransformer against mmpretrain's SwinTransformer, plain and with masked attention."""

import pytest
import torch
from mmpretrain.models import SwinTransformer

from wamim_mm import WaMIMSwinTransformer
from wamim_mm.models.wamim import swin
from wamim_mm.ops import gather_tokens, random_mask

from .dense_reference import hide_keys_swin, randomize

ARCH = dict(embed_dims=16, depths=[2, 2, 4, 2], num_heads=[1, 2, 4, 8])


def pair(**kwargs):
    """Ours and the host with the same random weights, in eval mode."""
    kwargs = dict(arch=ARCH, img_size=224, window_size=7, out_indices=(0, 1, 2, 3)) | kwargs
    ours, host = WaMIMSwinTransformer(**kwargs), SwinTransformer(**kwargs)
    randomize(ours)
    host.load_state_dict(ours.state_dict())
    # mmpretrain's backbones return None from train(), so eval() cannot be chained.
    ours.eval()
    host.eval()
    return ours, host


def assert_exact(ours, host, x, mask):
    hide_keys_swin(host, mask)
    with torch.no_grad():
        features, dense = ours(x, mask), host(x)
    assert len(features) == len(dense) == len(ours.out_indices)
    for feature, expected, stride in zip(features, dense, ours.feature_strides, strict=True):
        assert expected.shape[2] * stride == x.shape[2]
        expected = gather_tokens(expected.flatten(2).transpose(1, 2), feature.positions)
        torch.testing.assert_close(feature.tokens, expected, atol=1e-5, rtol=0)
        assert feature.cls_token is None
        side = ours.mask_unit // stride
        fine = mask.repeat_interleave(side, 1).repeat_interleave(side, 2).flatten(1)
        assert not fine.gather(1, feature.positions).any()
        assert all(len(set(row.tolist())) == (~fine[0]).sum() for row in feature.positions)


@pytest.mark.parametrize('size', [192, 224, 256, (224, 320)], ids=str)
@pytest.mark.parametrize('window', [6, 7, 8, 14])
def test_without_a_mask_it_is_the_host(window, size):
    ours, host = pair(window_size=window, img_size=size, pad_small_map=True)
    x = torch.randn(1, 3, *ours.img_size)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(ours(x), host(x), strict=True))


@pytest.mark.parametrize(
    ('window', 'size'),
    [(6, 192), (7, 224), (8, 256), (14, 448), (7, (224, 448)), (4, 128)],
    ids=str,
)
def test_whole_windows(window, size):
    ours, host = pair(window_size=window, img_size=size)
    x = torch.randn(3, 3, *ours.img_size)
    assert_exact(ours, host, x, random_mask(3, ours.mask_grid(*ours.img_size), 0.75))


@pytest.mark.parametrize('size', [192, 224, 256, 448])
@pytest.mark.parametrize('window', [6, 7, 8, 14])
def test_every_window_on_every_size(window, size):
    """Most of these pad the grid, which is attended to as in mmpretrain."""
    arch = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 1, 2, 4])
    ours, host = pair(arch=arch, window_size=window, img_size=size, pad_small_map=True)
    x = torch.randn(2, 3, size, size)
    assert_exact(ours, host, x, random_mask(2, ours.mask_grid(size, size), 0.75))


@pytest.mark.parametrize('ratio', [0.05, 0.5, 0.97])
def test_mask_ratios(ratio):
    ours, host = pair()
    x = torch.randn(2, 3, 224, 224)
    assert_exact(ours, host, x, random_mask(2, (7, 7), ratio))


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(out_indices=(1, 3)),
        dict(out_after_downsample=True),
        dict(use_abs_pos_embed=True),
        dict(norm_cfg=None),
        dict(patch_size=2, img_size=64, window_size=4),
        dict(
            arch=dict(embed_dims=16, depths=[1, 3, 2], num_heads=[2, 2, 4]),
            patch_size=2,
            img_size=32,
            window_size=4,
            out_indices=(0, 1, 2),
        ),
        dict(stage_cfgs=dict(block_cfgs=dict(attn_cfgs=dict(qkv_bias=False)))),
    ],
    ids=str,
)
def test_options(kwargs):
    ours, host = pair(**kwargs)
    x = torch.randn(2, 3, *ours.img_size)
    assert_exact(ours, host, x, random_mask(2, ours.mask_grid(*ours.img_size), 0.6))


def test_real_architecture():
    ours, host = pair(arch='tiny')
    x = torch.randn(2, 3, 224, 224)
    assert_exact(ours, host, x, random_mask(2, (7, 7), 0.75))


@pytest.mark.parametrize('with_cp', [False, True])
def test_gradients_are_those_of_masked_attention(with_cp):
    ours, host = pair(img_size=64, window_size=4, pad_small_map=True, with_cp=with_cp)
    x = torch.randn(2, 3, 64, 64)
    mask = random_mask(2, (2, 2), 0.5)
    hide_keys_swin(host, mask)
    features, dense = ours(x, mask), host(x)
    total = expected = 0
    for feature, full in zip(features, dense, strict=True):
        probe = torch.randn_like(feature.tokens)
        total = total + (feature.tokens * probe).sum()
        full = gather_tokens(full.flatten(2).transpose(1, 2), feature.positions)
        expected = expected + (full * probe).sum()
    total.backward()
    expected.backward()
    for (name, a), b in zip(ours.named_parameters(), host.parameters(), strict=True):
        torch.testing.assert_close(
            a.grad, b.grad, atol=2e-4, rtol=1e-3, msg=lambda m, n=name: n + m
        )


def test_hidden_pixels_change_nothing():
    ours, _ = pair()
    mask = random_mask(1, (7, 7), 0.75)
    x = torch.randn(1, 3, 224, 224)
    other = x.clone()
    hidden = mask.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, None].expand_as(x)
    other[hidden] = float('nan')
    with torch.no_grad():
        for a, b in zip(ours(x, mask), ours(other, mask), strict=True):
            assert torch.equal(a.tokens, b.tokens)


def test_the_patch_embedding_starts_as_a_linear_layer():
    arch = dict(embed_dims=128, depths=[1], num_heads=[4])
    model = WaMIMSwinTransformer(arch, out_indices=(0,))
    model.init_weights()
    # Uniform Xavier of 4 x 4 x 3 pixels to 128 channels.
    expected = (2 / (48 + 128)) ** 0.5
    assert model.patch_embed.projection.weight.std().item() == pytest.approx(expected, rel=0.03)


def test_normed_features():
    normed = WaMIMSwinTransformer(ARCH, img_size=224, out_indices=(1, 3))
    assert normed.features_normed == [True, True]
    raw = WaMIMSwinTransformer(ARCH, img_size=224, norm_cfg=None)
    assert raw.features_normed == [False]


def test_samples_do_not_see_each_other():
    ours, _ = pair(img_size=128, window_size=4)
    x, mask = torch.randn(4, 3, 128, 128), random_mask(4, (4, 4), 0.75)
    with torch.no_grad():
        together = ours(x, mask)
        alone = ours(x[2:3], mask[2:3])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.tokens[2:3], b.tokens, atol=1e-5, rtol=0)


def test_dropout_reaches_the_attention():
    drop = dict(block_cfgs=dict(attn_cfgs=dict(attn_drop=0.5)))
    ours, _ = pair(img_size=64, window_size=2, stage_cfgs=drop, drop_path_rate=0.0)
    x, mask = torch.randn(1, 3, 64, 64), random_mask(1, (2, 2), 0.5)
    assert torch.equal(ours(x, mask)[-1].tokens, ours(x, mask)[-1].tokens)
    ours.train()
    assert not torch.equal(ours(x, mask)[-1].tokens, ours(x, mask)[-1].tokens)


def test_half_precision():
    ours, _ = pair(img_size=64, window_size=2)
    x, mask = torch.randn(2, 3, 64, 64), random_mask(2, (2, 2), 0.5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = ours(x, mask)[-1].tokens
    torch.testing.assert_close(half.float(), ours(x, mask)[-1].tokens, atol=0.15, rtol=0.15)


def test_refuses_what_it_does_not_compute():
    with pytest.raises(ValueError, match=r'merges 2 x 2 patches.*\(3, 3\)'):
        WaMIMSwinTransformer(
            arch=ARCH, stage_cfgs=dict(downsample_cfg=dict(kernel_size=3, stride=2))
        )
    ours, _ = pair(img_size=192, window_size=7)
    mask = random_mask(1, (6, 6), 0.5)
    with pytest.raises(ValueError, match=r'grid of 6 x 6, smaller than the window of 7.*pad_small'):
        ours(torch.randn(1, 3, 192, 192), mask)
    with pytest.raises(ValueError, match='mask unit of 32 pixels, got 200 x 192'):
        ours(torch.randn(1, 3, 200, 192), mask)


def test_in_half_precision_the_bias_gets_its_gradient_in_float32(monkeypatch):
    """Beside a float64 sum of the gradients of all pairs: of 16 images there are half a million."""
    seen, attend, product = [], swin._group_attention, torch.baddbmm

    def group_attention(msa, x, groups):
        seen.append(dict(msa=msa, groups=groups))
        return attend(msa, x, groups)

    def baddbmm(bias, *args, **kwargs):
        bias.register_hook(lambda grad, entry=seen[-1]: entry.update(grad=grad))
        return product(bias, *args, **kwargs)

    monkeypatch.setattr(swin, '_group_attention', group_attention)
    monkeypatch.setattr(torch, 'baddbmm', baddbmm)
    arch = dict(embed_dims=16, depths=[1, 1, 1], num_heads=[2, 2, 4])
    ours, _ = pair(arch=arch, out_indices=(2,))
    images = torch.randn(16, 3, 224, 224)
    mask = random_mask(16, ours.mask_grid(224, 224), 0.75)
    with torch.autocast('cpu', torch.bfloat16):
        (feature,) = ours(images, mask)
        (feature.tokens * torch.randn_like(feature.tokens)).sum().backward()
    assert len(seen) == 3
    for entry in seen:
        table, relative = entry['msa'].relative_position_bias_table, entry['groups'].relative
        heads, side = table.shape[1], relative.shape[-1]
        grad = entry['grad'].view(-1, heads, side, side).permute(0, 2, 3, 1).reshape(-1, heads)
        exact = torch.zeros(len(table) + 1, heads, dtype=torch.float64)
        exact.index_add_(0, relative.flatten(), grad.double())
        error = (table.grad - exact[:-1]).norm() / exact[:-1].norm()
        assert grad.dtype == torch.bfloat16 and error < 1e-3


@pytest.mark.parametrize(
    'kwargs',
    [dict(), dict(window_size=6, pad_small_map=True), dict(window_size=14, pad_small_map=True)],
    ids=str,
)
def test_flex_attention(kwargs):
    """The same features, by an attention that keeps no bias for every pair."""
    ours, _ = pair(**kwargs)
    flex, _ = pair(**kwargs)
    flex.load_state_dict(ours.state_dict())
    flex.flex_attention = True
    x, mask = torch.randn(2, 3, 224, 224), random_mask(2, (7, 7), 0.75)
    with torch.no_grad():
        for found, expected in zip(flex(x, mask), ours(x, mask), strict=True):
            torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=0)


def test_flex_attention_that_cannot_be():
    with pytest.raises(RuntimeError, match=r'trains on a GPU only.*flex_attention=False'):
        WaMIMSwinTransformer(arch=ARCH, flex_attention=True)(
            torch.randn(1, 3, 224, 224), random_mask(1, (7, 7), 0.75)
        )
    dropped = dict(block_cfgs=dict(attn_cfgs=dict(attn_drop=0.1)))
    with pytest.raises(ValueError, match=r'attn_drop=0\.1; use 0 or flex_attention=False'):
        WaMIMSwinTransformer(arch=ARCH, flex_attention=True, stage_cfgs=dropped)
