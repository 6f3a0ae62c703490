"""Grey and four-band images through both methods, square or not."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from wamim_mm import PretrainDataPreprocessor, WaMIMSwinTransformer, WaMIMViT

VIT = dict(
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48), patch_size=16
)
SWIN = dict(
    arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
    patch_size=2,
    window_size=2,
    out_indices=(0, 1, 2, 3),
)
ENCODERS = {
    'WaMIMViT': VIT | dict(out_indices=[0, 1]),
    'WaMIMSwinTransformer': SWIN,
    'VisionTransformer': VIT | dict(out_type='featmap'),
    'SwinTransformer': SWIN | dict(out_indices=(3,)),
    'ResNet': dict(depth=18, stem_channels=8, base_channels=8, out_indices=(3,)),
}


def build(encoder, channels, size, degradation='FrequencyFilter'):
    backbone = dict(type=encoder, in_channels=channels, **ENCODERS[encoder])
    if encoder != 'ResNet':
        backbone['img_size'] = size
    shared = dict(
        backbone=backbone,
        data_preprocessor=dict(
            type='PretrainDataPreprocessor',
            mean=[100.0 + i for i in range(channels)],
            std=[50.0 + i for i in range(channels)],
            to_rgb=channels == 3,
        ),
    )
    if not encoder.startswith('WaMIM'):
        head = dict(type='MFMHead', loss=dict(type='FrequencyLoss'))
        degradation = dict(type=degradation)
        model = dict(type='MFM', img_size=size, degradation=degradation, head=head, **shared)
    else:
        levels = (2, 4) if 'ViT' in encoder else (1, 2, 3, 4)
        model = dict(
            type='WaMIM',
            neck=dict(type='WaMIMDecoder', embed_dims=8, num_heads=2, strides=16),
            target_generator=dict(type='WaveletTargetGenerator', levels=levels),
            head=dict(type='WaMIMHead', loss_weights=[1.0] * len(levels)),
            **shared,
        )
    model = MODELS.build(model)
    model.init_weights()
    return model


@pytest.mark.parametrize('size', [(64, 64), (64, 96), (96, 64)], ids=str)
@pytest.mark.parametrize('channels', [1, 4])
@pytest.mark.parametrize('encoder', ENCODERS)
def test_a_step(encoder, channels, size):
    model = build(encoder, channels, size)
    batch = torch.randint(0, 256, (2, channels, *size), dtype=torch.uint8)
    samples = [DataSample(), DataSample()]
    for sample in samples:
        sample.set_field(0.5, 'draw')
    data = model.data_preprocessor(dict(inputs=batch, data_samples=samples))
    mean = torch.tensor([100.0 + i for i in range(channels)]).view(-1, 1, 1)
    std = torch.tensor([50.0 + i for i in range(channels)]).view(-1, 1, 1)
    torch.testing.assert_close(data['inputs'], (batch - mean) / std)
    losses = model.loss(**data)
    sum(losses.values()).backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert all(loss.isfinite() for loss in losses.values()) and idle == []
    assert model.reconstruct(data['inputs']).shape == batch.shape


@pytest.mark.parametrize('degradation', ['FrequencyFilter', 'SuperResolution', 'Deblur'])
def test_degradations_treat_channels_alike(degradation):
    """Four bands, and each of them as a grey image."""
    four = build('VisionTransformer', 4, (64, 96), degradation)
    pixels = torch.rand(2, 4, 64, 96) * 255
    samples = [DataSample(), DataSample()]
    for sample, draw in zip(samples, (0.2, 0.8), strict=True):
        sample.set_field(draw, 'draw')
    inputs = four.data_preprocessor(dict(inputs=pixels, data_samples=samples))['inputs']
    degraded, _ = four.degrade(inputs, samples)
    degraded = degraded * four.data_preprocessor.std + four.data_preprocessor.mean
    for i in range(4):
        alone, _ = four.degradation(pixels[:, i : i + 1] / 255, torch.tensor([0.2, 0.8]).double())
        torch.testing.assert_close(degraded[:, i : i + 1], alone * 255, rtol=0, atol=1e-2)


def test_targets_of_four_bands_are_those_of_each():
    model = build('WaMIMViT', 4, (64, 96))
    x = torch.randn(2, 4, 64, 96)
    together = model.target_generator(x)
    for level, target in enumerate(together):
        each = [model.target_generator(x[:, i : i + 1])[level] for i in range(4)]
        expected = torch.stack(each, 2).flatten(1, 2)  # subbands outermost
        torch.testing.assert_close(target, expected)
    torch.testing.assert_close(
        model.target_generator.to_images(together, x).mean(), x.mean(), atol=1e-4, rtol=0
    )


def test_a_head_of_other_channels():
    head = dict(type='MFMHead', out_channels=3, loss=dict(type='FrequencyLoss'))
    backbone = dict(
        type='VisionTransformer', in_channels=1, img_size=64, **ENCODERS['VisionTransformer']
    )
    model = dict(type='MFM', img_size=64, backbone=backbone, head=head)
    with pytest.raises(
        ValueError, match=r'takes images of 1 channels, and head\.out_channels is 3'
    ):
        MODELS.build(dict(model, degradation=dict(type='Denoise')))


def test_height_and_width_exchanged():
    backbone = dict(type='VisionTransformer', img_size=(96, 64), **ENCODERS['VisionTransformer'])
    head = dict(type='MFMHead', loss=dict(type='FrequencyLoss'))
    model = dict(type='MFM', backbone=backbone, head=head, degradation=dict(type='Denoise'))
    with pytest.raises(ValueError, match=r'img_size is \(64, 96\).* built for 6 x 4 patches'):
        MODELS.build(dict(model, img_size=(64, 96)))


@pytest.mark.parametrize('encoder', [WaMIMViT, WaMIMSwinTransformer])
def test_patches_must_be_square(encoder):
    args = dict(VIT if encoder is WaMIMViT else SWIN, img_size=64, patch_size=(4, 8))
    with pytest.raises(ValueError, match=r'patches must be square.*got patch_size=\(4, 8\)'):
        encoder(**args)


# The preprocessor


def test_one_value_for_all_channels():
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    for mean, std in ((7.0, 2.0), ([7.0], [2.0]), ([7.0] * 3, [2.0] * 3)):
        preprocess = PretrainDataPreprocessor(mean, std, to_rgb=True)
        found = preprocess(dict(inputs=images, data_samples=None))['inputs']
        assert torch.equal(found, (images.flip(1).float() - 7) / 2)
    plain = PretrainDataPreprocessor()(dict(inputs=images, data_samples=None))['inputs']
    assert torch.equal(plain, images.float())


def test_it_equals_the_hosts():
    host = MODELS.get('SelfSupDataPreprocessor')
    options = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    found, expected = (
        kind(**options)(dict(inputs=images, data_samples=None))['inputs']
        for kind in (PretrainDataPreprocessor, host)
    )
    assert torch.equal(found, expected)
    assert PretrainDataPreprocessor(**options).state_dict() == {}


@pytest.mark.parametrize(
    ('options', 'channels', 'message'),
    [
        (dict(mean=[1.0] * 3, std=[1.0] * 3), 1, '3 means for images of 1 channels'),
        (dict(mean=[1.0] * 3, std=[1.0] * 3), 4, '3 means for images of 4 channels'),
        (dict(to_rgb=True), 4, 'to_rgb=True for images of 4 channels'),
        (dict(to_rgb=True), 1, 'to_rgb=True for images of 1 channels'),
        (dict(mean=[1.0] * 3, std=[1.0]), 3, 'mean has 3 values and std 1'),
        (dict(mean=[1.0]), 1, 'mean has 1 values and std 0'),
    ],
)
def test_other_channels_are_refused(options, channels, message):
    with pytest.raises(ValueError, match=message):
        PretrainDataPreprocessor(**options)(
            dict(inputs=torch.zeros(1, channels, 4, 4), data_samples=None)
        )


def test_a_grey_image_is_one_of_three_equal_colours():
    grey = build('WaMIMViT', 1, (64, 64)).eval()
    colour = build('WaMIMViT', 3, (64, 64)).eval()
    state = grey.backbone.state_dict()
    state['patch_embed.projection.weight'] = (
        state['patch_embed.projection.weight'].repeat(1, 3, 1, 1) / 3
    )
    colour.backbone.load_state_dict(state)
    x = torch.randn(2, 1, 64, 64)
    for one, three in zip(grey.backbone(x), colour.backbone(x.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(one, three, rtol=0, atol=1e-5)
