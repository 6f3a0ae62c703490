"""The whole model: loss, masks, reconstruction, learning, and what is refused when it is built."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from wamim_mm.models.wamim import algorithm
from wamim_mm.ops import random_mask

VIT = dict(
    type='WaMIMViT',
    arch=dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96),
    img_size=64,
    patch_size=8,
    out_indices=[0, 1, 2, 3],
)
SWIN = dict(
    type='WaMIMSwinTransformer',
    arch=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4]),
    img_size=64,
    patch_size=2,
    window_size=4,
    drop_path_rate=0.0,
    out_indices=(0, 1, 2, 3),
)


def config(backbone=VIT, levels=(1, 2, 3, 4), **kwargs):
    return dict(
        type='WaMIM',
        backbone=backbone,
        neck=dict(type='WaMIMDecoder', embed_dims=32, num_heads=4)
        | kwargs.pop('neck', dict(strides=8 if backbone['type'] == 'WaMIMViT' else 16)),
        head=dict(type='WaMIMHead', loss_weights=kwargs.pop('weights', (0.8, 0.9, 1.1, 1.2))),
        target_generator=dict(type='WaveletTargetGenerator', levels=levels)
        | kwargs.pop('targets', {}),
        **kwargs,
    )


def build(*args, **kwargs):
    model = MODELS.build(config(*args, **kwargs))
    model.init_weights()
    return model


def with_masks(mask):
    samples = [DataSample() for _ in mask]
    for sample, one in zip(samples, mask, strict=True):
        sample.set_field(one, 'mask')
    return samples


@pytest.fixture(params=[VIT, SWIN], ids=['vit', 'swin'])
def backbone(request):
    return request.param


def test_loss_names_levels_and_weighs_them(backbone):
    model = build(backbone)
    x = torch.randn(2, 3, 64, 64)
    samples = with_masks(random_mask(2, model.backbone.mask_grid(64, 64), 0.75))
    losses = model.loss(x, samples)
    assert list(losses) == [f'loss_level{level}' for level in (1, 2, 3, 4)]
    model.head.loss_weights = (1.6, 1.8, 2.2, 2.4)
    for name, loss in model.loss(x, samples).items():
        torch.testing.assert_close(loss, 2 * losses[name])
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, sum(losses.values()))
    assert set(losses) <= set(logged)


def test_every_parameter_learns(backbone):
    model = build(backbone)
    sum(model.loss(torch.randn(2, 3, 64, 64)).values()).backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []


def test_masks_are_drawn_from_the_seed_and_differ(backbone):
    model = build(backbone)
    x = torch.randn(8, 3, 64, 64)
    grid = model.backbone.mask_grid(64, 64)
    torch.manual_seed(5)
    mask = model.masks(x)
    assert mask.shape == (8, *grid)
    assert mask.float().mean().item() == pytest.approx(0.75)
    assert not torch.equal(mask[0], mask[1])
    torch.manual_seed(5)
    losses = model.loss(x)
    for name, expected in model.loss(x, with_masks(mask)).items():
        torch.testing.assert_close(losses[name], expected)


def test_some_masks_are_refused():
    model = build()
    samples = with_masks(random_mask(2, (8, 8), 0.75))
    samples[1] = DataSample()
    with pytest.raises(ValueError, match='1 masks for 2 images'):
        model.loss(torch.randn(2, 3, 64, 64), samples)


def test_masks_of_another_grid_are_refused(backbone):
    """As a loader hands them over that was written for another model."""
    model = build(backbone)
    inputs = torch.randn(2, 3, 64, 64)
    mask, layout = model.masking(inputs, None)
    with pytest.raises(ValueError, match=r'got \(2, 3, 3\)'):
        model.loss(inputs, masking=(mask[:, :3, :3], layout))


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r'built for images of \(64, 64\), got \(96, 64\)'):
        build().loss(torch.randn(1, 3, 96, 64))
    # Before anything is drawn for them, whatever their sides; in pictures too.
    for method in ('loss', 'reconstruct'):
        with pytest.raises(ValueError, match=r'built for images of \(64, 64\), got \(100, 64\)'):
            getattr(build(), method)(torch.randn(1, 3, 100, 64))


def test_it_learns(backbone):
    """A few steps on four images bring every level's loss down by a third."""
    model = build(backbone)
    model.train()
    ramp = torch.linspace(-2, 2, 64)
    x = torch.stack([ramp[None] + (k + 1) * ramp[:, None].sin() for k in range(4)])
    x = x[:, None].repeat(1, 3, 1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    curve = []
    for _ in range(60):
        losses = model.loss(x)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        curve.append([loss.item() for loss in losses.values()])
    first, last = torch.tensor(curve[:5]).mean(0), torch.tensor(curve[-5:]).mean(0)
    assert (last < first * 2 / 3).all(), (first, last)


def test_reconstruct_inverts_perfect_predictions(backbone, monkeypatch):
    model = build(backbone)
    x = torch.randn(2, 3, 64, 64)
    targets = model.target_generator(x)
    monkeypatch.setattr(model.neck, 'forward', lambda features: targets)
    torch.testing.assert_close(model.reconstruct(x), x, atol=1e-4, rtol=0)


def test_reconstruct_uses_the_given_masks(backbone):
    model = build(backbone)
    model.eval()
    x = torch.randn(2, 3, 64, 64)
    samples = with_masks(random_mask(2, model.backbone.mask_grid(64, 64), 0.75))
    first = model.reconstruct(x, samples)
    assert first.shape == x.shape and not first.requires_grad
    assert torch.equal(first, model.reconstruct(x, samples))
    assert not torch.equal(first, model.reconstruct(x))


def test_tensor_mode_is_the_plain_encoder(backbone):
    model = build(backbone)
    model.eval()
    x = torch.randn(1, 3, 64, 64)
    features = model(x, mode='tensor')
    assert all(torch.equal(a, b) for a, b in zip(features, model.backbone(x), strict=True))


def test_batch_of_one_and_autocast(backbone):
    model = build(backbone)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(torch.randn(1, 3, 64, 64))
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(mask_ratio=0.0), 'mask_ratio must be between 0 and 1.*got 0.0'),
        (dict(mask_ratio=1.0), 'mask_ratio must be between 0 and 1.*got 1.0'),
        (dict(mask_ratio=0.999), 'leaves 0 of 8 x 8 mask units'),
        (dict(backbone=VIT | dict(img_size=60)), 'mask unit of 8 pixels, got 60 x 60'),
        (dict(backbone=SWIN | dict(img_size=72)), 'mask unit of 16 pixels, got 72 x 72'),
        (dict(levels=(1, 2, 3, 7)), 'level 7 needs sides divisible by 128, got 64 x 64'),
        (dict(levels=(1, 2), weights=(1, 1)), '2 levels .* 4 features'),
        (dict(weights=(1, 1)), '2 loss_weights for 4 levels'),
        (dict(backbone=VIT | dict(out_indices=[3, 1, 2, 0])), r'must ascend, got \(3, 1, 2, 0\)'),
        (dict(backbone=VIT | dict(out_indices=[1, 2, 3, 4])), r'0 to 3, got \(1, 2, 3, 4\)'),
        (
            dict(backbone=VIT | dict(out_indices=[0, 1, 2, 99])),
            r'out_indices \[0, 1, 2, 99\]: Invalid out_indices 99; they count blocks',
        ),
        (dict(neck=dict(strides=12)), 'stride 12 .* not a multiple'),
        (dict(neck=dict(strides=16)), 'stride of 16 does not divide the mask unit of 8'),
        (
            dict(backbone=VIT | dict(patch_size=14, img_size=112), neck=dict(strides=14)),
            'stride 14 and the 4 pixels of a coefficient of level 2',
        ),
        (
            dict(
                backbone=VIT | dict(patch_size=14, img_size=112), targets=dict(img_size=(128, 64))
            ),
            'targets of images of 128 x 64 do not fit the 8 x 8 mask units',
        ),
        (
            dict(backbone=VIT | dict(img_size=32), levels=(1, 2, 3, 5)),
            "level 5 of 32 x 32 images is 1 x 1, which norm='subband' turns to zero",
        ),
        (dict(targets=dict(wavelet='hear')), "unknown wavelet 'hear'"),
        (dict(targets=dict(norm='pixel')), 'norm must be one of'),
    ],
    ids=str,
)
def test_refused_when_built(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


@pytest.mark.parametrize(('backbone', 'end'), [(VIT, 2), (SWIN, 2), (VIT, 3), (SWIN, 3)])
def test_what_no_loss_trains_is_said(backbone, end, monkeypatch):
    """Blocks behind the last feature; two processes end in DDP's error."""
    said = []
    monkeypatch.setattr(algorithm, 'print_log', lambda text, *_, **__: said.append(text))
    places = range(end + 1)
    levels = [place + 1 for place in places]
    build(backbone | dict(out_indices=list(places)), levels=levels, weights=[1] * len(levels))
    text = 'WaMIM: out_indices (0, 1, 2) end before 3, the last: no loss trains what comes behind'
    assert [line[: len(text)] for line in said] == ([text] if end == 2 else [])


@pytest.mark.parametrize(
    ('img_size', 'patch_size', 'levels', 'out_indices', 'ratio'),
    [
        (32, 4, (1, 2, 3), [0, 1, 3], 0.5),
        (96, 12, (2,), [3], 0.9),
        ((32, 64), 16, (1, 4, 5), [1, 2, 3], 0.75),
        (224, 16, (2, 3, 4, 5), [0, 1, 2, 3], 0.6),
    ],
)
def test_what_can_work_works(img_size, patch_size, levels, out_indices, ratio):
    model = build(
        VIT | dict(img_size=img_size, patch_size=patch_size, out_indices=out_indices),
        levels=levels,
        weights=(1,) * len(levels),
        neck=dict(strides=patch_size),
        mask_ratio=ratio,
    )
    losses = model.loss(torch.randn(2, 3, *model.backbone.img_size))
    assert all(loss.isfinite() for loss in losses.values())


def test_subbands_change_the_channels():
    model = build(targets=dict(subbands=('cH', 'cV', 'cD')))
    assert all(t.shape[1] == 9 for t in model.target_generator(torch.randn(1, 3, 64, 64)))
    losses = model.loss(torch.randn(1, 3, 64, 64))
    sum(losses.values()).backward()
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    assert all(p.grad is not None for p in model.neck.parameters())


def test_patches_of_14_pixels():
    """Targets at the size where a patch has 16; only what is hidden counts, as with those."""
    model = build(
        VIT | dict(img_size=(112, 56), patch_size=14),
        levels=(2, 3, 4, 5),
        neck=dict(strides=16),
        targets=dict(img_size=(128, 64)),
    )
    images = torch.randn(2, 3, 112, 56)
    masking = model.masking(images)
    predictions = model.neck(model.backbone.encode_visible(images, masking.layout))
    targets = model.target_generator(images)
    assert [tuple(t.shape[-2:]) for t in targets] == [(32, 16), (16, 8), (8, 4), (4, 2)]
    hidden = masking.mask.repeat_interleave(4, 1).repeat_interleave(4, 2)  # of level 2
    error = (predictions[0] - targets[0]).square().mean(1)[hidden].mean()
    torch.testing.assert_close(model.loss(images, masking=masking)['loss_level2'], 0.8 * error)
    assert model.reconstruct(images).shape == images.shape
