"""Degradations, head, and the whole of MFM: what the encoder sees, what is learned and refused."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from PIL import Image
from torch.nn import functional as F

from wamim_mm import MFM, Deblur, Denoise, FrequencyFilter, FrequencyLoss, MFMHead, SuperResolution
from wamim_mm.ops import frequency_filter, low_pass_mask

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
    img_size=64,
    patch_size=16,
    out_type='featmap',
)
SWIN = dict(
    type='SwinTransformer',
    arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
    img_size=64,
    window_size=2,
    out_indices=(3,),
)
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(3,))
CONVNEXT = dict(
    type='ConvNeXt',
    arch=dict(depths=[1, 1, 1, 1], channels=[8, 8, 16, 24]),
    gap_before_final_norm=False,
    out_indices=(0, 2, 3),
)
# Channels of the last map and its stride.
ENCODERS = dict(
    vit=(VIT, 24, 16), swin=(SWIN, 64, 32), resnet=(RESNET, 64, 32), convnext=(CONVNEXT, 24, 32)
)
RESTORATION = [dict(type='SuperResolution'), dict(type='Deblur'), dict(type='Denoise')]


def build(backbone=VIT, degradation=None, loss=None, **kwargs):
    head = {'stride': kwargs.pop('stride')} if 'stride' in kwargs else {}
    model = dict(
        type='MFM',
        img_size=kwargs.pop('img_size', 64),
        backbone=backbone,
        degradation=degradation or dict(type='FrequencyFilter', radius=6),
        head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', **(loss or {})), **head),
        data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=MEAN, std=STD, to_rgb=True),
        **kwargs,
    )
    model = MODELS.build(model)
    model.init_weights()
    return model


def images(*size, batch=2):
    """Normalized images of random pixels, and the pixels in [0, 1]."""
    pixels = torch.rand(batch, 3, *(size or (64, 64)))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels * 255 - mean) / std, pixels


# Filter


def test_filter_draws_for_every_sample_or_the_batch():
    x = torch.rand(64, 3, 16, 16)
    low = low_pass_mask((16, 16), 5)
    degraded, mask = FrequencyFilter(radius=5)(x)
    is_low = (mask == low).flatten(1).all(1)
    assert torch.equal(is_low, ~(mask == ~low).flatten(1).all(1)) and 0 < is_low.sum() < 64
    assert torch.equal(degraded, frequency_filter(x, mask))
    drawn = set()
    for _ in range(20):
        mask = FrequencyFilter(radius=5, per='batch')(x)[1]
        assert mask.shape == (64, 16, 16) and torch.equal(mask, mask[:1].expand_as(mask))
        drawn.add(bool(mask[0, 8, 8]))
    assert drawn == {True, False}


@pytest.mark.parametrize('probability', [0, 0.3, 1])
def test_share_of_low_pass(probability):
    _, mask = FrequencyFilter(radius=2, low_pass_prob=probability)(torch.rand(4000, 1, 4, 4))
    deviation = (probability * (1 - probability) / 4000) ** 0.5
    assert abs(mask[:, 2, 2].float().mean() - probability) <= 5 * deviation


def test_band():
    band = FrequencyFilter(radius=3, outer_radius=6, low_pass_prob=0)
    _, mask = band(torch.rand(2, 3, 16, 17))
    inner, outer = low_pass_mask((16, 17), 3), low_pass_mask((16, 17), 6)
    assert torch.equal(mask[1], outer & ~inner)
    band.low_pass_prob = 1
    assert torch.equal(band(torch.rand(2, 3, 16, 17))[1][0], inner | ~outer)


@pytest.mark.parametrize('degradation', [dict(type='FrequencyFilter'), *RESTORATION], ids=str)
def test_seeds_repeat(degradation):
    degrade, x = MODELS.build(degradation), torch.rand(8, 3, 32, 32)
    torch.manual_seed(3)
    first = degrade(x)[0]
    second = degrade(x)[0]
    torch.manual_seed(3)
    assert torch.equal(first, degrade(x)[0])
    assert torch.equal(first, second) == isinstance(degrade, SuperResolution)


# Restoration tasks


def test_super_resolution():
    x = torch.rand(2, 3, 32, 48)
    degraded, mask = SuperResolution(scale=8)(x)
    assert mask is None and degraded.shape == x.shape
    assert degraded.min() >= 0 and degraded.max() <= 1
    # The middle of a block of 8 pixels: without antialiasing its four neighbours alone count.
    weights = torch.tensor([-0.09375, 0.59375, 0.59375, -0.09375])  # Keys, a = -0.75, at 1/2
    blocks = x.unfold(2, 8, 8).unfold(3, 8, 8)[..., 2:6, 2:6]
    down = torch.einsum('nchwab,a,b->nchw', blocks, weights, weights).clamp(0, 1)
    expected = F.interpolate(down, size=(32, 48), mode='bicubic').clamp(0, 1)
    torch.testing.assert_close(degraded, expected)


@pytest.mark.parametrize('size', [7, 21])
def test_deblur_is_opencvs_filter(size):
    cv2 = pytest.importorskip('cv2')
    x = torch.rand(2, 3, 24, 31)
    degraded, mask = Deblur(sigma=5, kernel_sizes=(size,))(x)
    rows = np.exp(-0.5 * (np.arange(size) - size // 2) ** 2 / 25)
    kernel = np.outer(rows, rows) / np.outer(rows, rows).sum()
    for image, blurred in zip(x, degraded, strict=True):
        expected = cv2.filter2D(image.permute(1, 2, 0).numpy(), -1, kernel)
        np.testing.assert_allclose(blurred.permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert mask is None


def test_deblur_draws_every_size_for_every_sample():
    blur = Deblur()
    kernels = blur.kernels(torch.rand(400, dtype=torch.float64))
    sizes = (kernels > 0).sum(1)
    assert set(sizes.tolist()) == {7, 9, 11, 13, 15, 17, 19, 21}
    torch.testing.assert_close(kernels.sum(1), torch.ones(400))
    # In a batch, each sample gets what it would get alone with its size.
    x = torch.rand(6, 3, 32, 32)
    torch.manual_seed(1)
    sizes = (blur.kernels(torch.rand(6, dtype=torch.float64)) > 0).sum(1)
    torch.manual_seed(1)
    blurred = blur(x)[0]
    for i, size in enumerate(sizes.tolist()):
        alone = Deblur(kernel_sizes=(size,))(x[i : i + 1])[0]
        torch.testing.assert_close(blurred[i : i + 1], alone, rtol=0, atol=1e-6)


def test_deblur_ignores_autocast():
    x = torch.rand(2, 3, 32, 32)
    expected = Deblur(kernel_sizes=(9,))(x)[0]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(Deblur(kernel_sizes=(9,))(x)[0], expected)


def test_denoise():
    x = torch.rand(4, 3, 64, 64)
    degraded, mask = Denoise(sigma=75)(x)
    noise = degraded - x
    assert mask is None and abs(noise.std() * 255 - 75) < 1.5 and abs(noise.mean() * 255) < 1.5
    assert degraded.min() < 0 and degraded.max() > 1  # not clamped
    assert not torch.equal(noise[0], noise[1])


# The whole model


@pytest.mark.parametrize('name', ENCODERS)
@pytest.mark.parametrize('size', [(64, 64), (64, 96)], ids=str)
def test_any_encoder(name, size):
    backbone, channels, stride = ENCODERS[name]
    if 'img_size' in backbone:
        backbone = backbone | dict(img_size=size)
    model = build(backbone, img_size=size)
    assert model.training and model.backbone.training
    assert (model.head.projection.in_channels, model.head.stride) == (channels, stride)
    x, _ = images(*size)
    losses = model.loss(x)
    losses['loss'].backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    unread = ('norm0.', 'norm2.', 'norm.')  # ConvNeXt's outputs that only others would read
    assert [n for n in idle if name != 'convnext' or not n.startswith(unread, 9)] == []
    assert model.reconstruct(x).shape == x.shape


def test_building_leaves_running_statistics():
    model = build(RESNET)
    assert not model.backbone.bn1.running_mean.any() and model.backbone.bn1.num_batches_tracked == 0


@pytest.mark.parametrize('name', ENCODERS)
def test_encoders_are_the_hosts(name):
    """The same class and tensors, so that checkpoints load everywhere."""
    backbone = ENCODERS[name][0]
    model, plain = build(backbone), MODELS.build(backbone)
    assert type(model.backbone) is type(plain)
    plain.load_state_dict(model.backbone.state_dict(), strict=True)


def test_loss_is_the_formula():
    model = build()
    model.eval()
    x, pixels = images()
    torch.manual_seed(5)
    loss = model.loss(x)['loss']
    torch.manual_seed(5)
    keeps_low = torch.rand(2) < 0.5
    low = low_pass_mask((64, 64), 6)
    mask = torch.stack([low if kept else ~low for kept in keeps_low])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    degraded = (frequency_filter(pixels, mask) * 255 - mean) / std
    prediction = model.head(model.backbone(degraded)[0])
    torch.testing.assert_close(loss, FrequencyLoss()(prediction, x, mask), rtol=1e-4, atol=0)


def test_restoration_counts_every_frequency():
    model = build(degradation=dict(type='SuperResolution', scale=8))
    model.eval()
    x, pixels = images()
    degraded, mask = model.degrade(x)
    assert mask is None
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    expected = (SuperResolution(8)(pixels)[0] * 255 - mean) / std
    torch.testing.assert_close(degraded, expected, rtol=0, atol=1e-4)
    prediction = model.head(model.backbone(degraded)[0])
    torch.testing.assert_close(model.loss(x)['loss'], FrequencyLoss()(prediction, x))
    torch.testing.assert_close(model.reconstruct(x), prediction)


def test_restored_images_keep_what_was_kept():
    model = build()
    x, _ = images()
    degraded, mask = model.degrade(x)
    restored = model.restore(x, degraded, mask)
    prediction = model.head(model.backbone(degraded)[0])
    kept, removed = mask[:, None], ~mask[:, None]
    spectrum = torch.fft.fftshift(torch.fft.fft2(restored), dim=(-2, -1))
    for source, where in ((x, kept), (prediction, removed)):
        expected = torch.fft.fftshift(torch.fft.fft2(source), dim=(-2, -1))
        torch.testing.assert_close(spectrum * where, expected * where, rtol=0, atol=1e-3)


def test_head_is_the_inverse_of_cutting_patches():
    head = MFMHead(in_channels=3 * 16, stride=4, loss=dict(type='FrequencyLoss'))
    with torch.no_grad():
        head.projection.weight.copy_(torch.eye(48)[..., None, None])
        head.projection.bias.zero_()
    x = torch.rand(2, 3, 8, 12)
    assert torch.equal(head(F.pixel_unshuffle(x, 4)), x)
    assert head.loss(F.pixel_unshuffle(x, 4), x, None)['loss'] == 0


@pytest.mark.parametrize('degradation', [None, *RESTORATION], ids=str)
def test_trains_under_amp_from_uint8(degradation):
    model = build(RESNET, degradation)
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=2e-3)))
    batch = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    losses = []
    for _ in range(30):
        torch.manual_seed(0)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses.append(model.train_step(dict(inputs=batch, data_samples=None), optim_wrapper))
    assert losses[-1]['loss'] < 0.9 * losses[0]['loss']


def test_one_constant_image():
    model = build()
    x = torch.zeros(1, 3, 64, 64)
    loss = model.loss(x)['loss']
    loss.backward()
    assert loss.isfinite() and model.reconstruct(x).isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_without_normalization_inputs_are_pixels():
    model = build()
    plain = MFM(
        VIT,
        dict(type='MFMHead', loss=dict(type='FrequencyLoss')),
        dict(type='FrequencyFilter', radius=6, low_pass_prob=1),
        img_size=64,
    )
    x, pixels = images()
    model.degradation.low_pass_prob = 1
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    torch.testing.assert_close(
        plain.degrade(pixels * 255)[0], model.degrade(x)[0] * std + mean, rtol=0, atol=1e-2
    )


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(degradation=dict(radius=33)), 'radius 33 is larger .* 64 x 64; use 32 or less'),
        (dict(degradation=dict(radius=0)), 'radius must be positive, got 0'),
        (dict(degradation=dict(radius=-1)), 'radius must be positive, got -1'),
        (dict(degradation=dict(radius=6, outer_radius=6)), 'above the radius of 6, got 6'),
        (dict(degradation=dict(radius=6, outer_radius=99)), 'outer_radius 99 is larger'),
        (dict(degradation=dict(low_pass_prob=1.5)), 'between 0 and 1, got 1.5'),
        (dict(degradation=dict(low_pass_prob=-0.1)), 'between 0 and 1, got -0.1'),
        (dict(degradation=dict(low_pass_prob=float('nan'))), 'between 0 and 1, got nan'),
        (dict(degradation=dict(per='image')), "'sample' or 'batch', got 'image'"),
        (dict(degradation=dict(type='SuperResolution', scale=7)), 'scale 7 does not divide .* 64'),
        (dict(degradation=dict(type='SuperResolution', scale=1)), '2 or more, got 1'),
        (dict(degradation=dict(type='Deblur', kernel_sizes=(8,))), r'odd and positive, got \(8,\)'),
        (dict(degradation=dict(type='Deblur', kernel_sizes=(151,))), 'more than 75, got 64 x 64'),
        (dict(degradation=dict(type='Deblur', sigma=0)), 'sigma must be positive, got 0'),
        (dict(degradation=dict(type='Denoise', sigma=-1)), 'sigma must be positive, got -1'),
        (dict(loss=dict(patch_factor=2)), 'needs patch_factor=1, got 2'),
        (
            dict(degradation=dict(type='Denoise'), loss=dict(patch_factor=3)),
            'patch_factor 3 does not divide images of 64 x 64',
        ),
        (
            dict(backbone=VIT | dict(out_type='cls_token')),
            r'VisionTransformer must be a feature map \(N, C, h, w\), got \(1, 24\)',
        ),
        (dict(backbone=CONVNEXT | dict(gap_before_final_norm=True)), r'got \(1, 24\)'),
        # Padded to 8 and 4 cells, as if the stride were 30 and 25.
        (dict(backbone=RESNET, img_size=240), '8 x 8 .* 240 x 240, 30 pixels a cell, .* padding'),
        (dict(backbone=RESNET, img_size=100), '4 x 4 .* 100 x 100, 25 pixels a cell, .* padding'),
        (dict(backbone=RESNET, img_size=240, stride=32), 'is not 32 pixels a cell'),
        (dict(backbone=VIT, img_size=(64, 72)), '4 x 5 .* 64 x 72, which is not 16 pixels a cell'),
    ],
    ids=str,
)
def test_refused_when_built(kwargs, message):
    kwargs = dict(kwargs)
    degradation = dict(type='FrequencyFilter') | kwargs.pop('degradation', {})
    with pytest.raises(ValueError, match=message):
        build(degradation=degradation, **kwargs)


def test_refuses_other_sizes():
    with pytest.raises(ValueError, match=r'built for images of \(64, 64\), got \(96, 96\)'):
        build().loss(torch.rand(1, 3, 96, 96))


def test_a_stride_of_the_config():
    """For patches of 14 pixels, which could be padding."""
    backbone = VIT | dict(img_size=56, patch_size=14)
    with pytest.raises(ValueError, match='14 pixels a cell, which is no power of two'):
        build(backbone, img_size=56)
    assert build(backbone, img_size=56, stride=14).head.stride == 14


def test_real_photographs(shared_data):
    """Blurred, noisy and filtered photographs differ from the originals as much as they should."""
    paths = sorted((shared_data / 'imagenet_samples').rglob('*.jpg'))[:4]
    arrays = [np.asarray(Image.open(path).convert('RGB').crop((0, 0, 224, 224))) for path in paths]
    x = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255
    low = FrequencyFilter(low_pass_prob=1)(x)[0]
    assert 0.001 < F.mse_loss(low, x) < 0.05  # most of the energy is in low frequencies
    assert F.mse_loss(FrequencyFilter(low_pass_prob=0)(x)[0], x) > 0.05


@pytest.mark.gpu
@pytest.mark.parametrize(
    'degradation', [dict(type='FrequencyFilter', radius=6), *RESTORATION], ids=str
)
def test_step_on_a_device_never_waits_and_equals_the_cpu(degradation):
    model = build(VIT, degradation)
    model.eval()
    x, _ = images(batch=4)
    torch.manual_seed(0)
    degraded, _ = model.degrade(x)
    torch.manual_seed(0)
    expected = model.loss(x)['loss']
    model.cuda()
    x = x.cuda()
    model.loss(x)['loss'].backward()  # builds the plans of the transform
    torch.manual_seed(0)
    torch.cuda.set_sync_debug_mode('error')
    try:
        on_device, _ = model.degrade(x)
        with torch.autocast('cuda'):
            model.loss(x)['loss'].backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    if degradation['type'] == 'Denoise':  # noise is the device's own
        return
    torch.testing.assert_close(on_device.cpu(), degraded, rtol=0, atol=1e-3)
    torch.manual_seed(0)
    torch.testing.assert_close(model.loss(x)['loss'].cpu(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize('loss', [{}, dict(gamma=2.0), dict(with_matrix=True)], ids=str)
def test_the_two_filters_are_told_apart_in_the_log(loss):
    """Each group's error is the loss of a batch of that group alone; the loss is of both."""
    model = build(RESNET, loss=loss)
    model.eval()  # batch norm would mix the groups
    x = torch.randn(20, 3, 64, 64)
    draws = [DataSample() for _ in range(20)]
    for i, sample in enumerate(draws):
        sample.set_field(0.1 if i % 4 else 0.9, 'draw')  # 15 keep low frequencies
    found = model.loss(x, draws)
    assert set(found) == {'loss', 'error_low_pass', 'error_high_pass'}
    assert model.parse_losses(found)[0] == found['loss'] and found['loss'].requires_grad
    groups = {
        'error_low_pass': [i for i in range(20) if i % 4],
        'error_high_pass': [i for i in range(20) if i % 4 == 0],
    }
    for name, places in groups.items():
        alone = model.loss(x[places], [draws[place] for place in places])
        torch.testing.assert_close(found[name], alone['loss'].detach())
        assert not found[name].requires_grad and set(alone) == {'loss'}


@pytest.mark.parametrize(
    'degradation',
    [
        dict(type='FrequencyFilter', radius=6, low_pass_prob=1.0),
        dict(type='FrequencyFilter', radius=6, per='batch'),
        *RESTORATION,
    ],
    ids=str,
)
def test_one_kind_of_images_has_one_loss(degradation):
    model = build(RESNET, degradation)
    assert set(model.loss(torch.randn(16, 3, 64, 64))) == {'loss'}
