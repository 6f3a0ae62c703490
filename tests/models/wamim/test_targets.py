"""Targets against PyWavelets and a float64 transcription of the normalizations."""

import numpy as np
import pytest
import pywt
import torch
from PIL import Image
from torch.nn import functional as F

from wamim_mm import WaveletTargetGenerator
from wamim_mm.models.wamim.targets import NORMS


def by_pywavelets(images, wavelet, level, subbands):
    """(N, 3 * subbands, h, w) float64, subbands outermost."""
    approximation, details, *_ = pywt.wavedec2(images, wavelet, 'periodization', level)
    named = dict(zip(('cA', 'cH', 'cV', 'cD'), (approximation, *details), strict=True))
    return np.concatenate([named[name] for name in subbands], axis=1)


@pytest.mark.parametrize('wavelet', ['haar', 'db2', 'bior2.2'])
@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('subbands', [('cA', 'cH', 'cV', 'cD'), ('cD', 'cH'), ('cA',)], ids=str)
def test_targets(wavelet, norm, subbands):
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 96))
    generator = WaveletTargetGenerator(wavelet, (1, 2, 4), subbands, norm)
    targets = generator(torch.from_numpy(images).float())
    assert len(targets) == 3
    for level, target in zip((1, 2, 4), targets, strict=True):
        assert target.shape == (2, 3 * len(subbands), 64 // 2**level, 96 // 2**level)
        expected = by_pywavelets(images, wavelet, level, subbands)
        if norm == 'block':
            parts = expected.reshape(2, len(subbands), 3, *expected.shape[2:])
            if 'cA' in subbands:
                place = subbands.index('cA')
                parts[:, place] -= parts[:, place].mean(1, keepdims=True)
            energy = (parts**2).mean((1, 2), keepdims=True)
            parts /= np.sqrt(energy + 1e-6 * 4 ** (level - 1))
            expected = parts.reshape(expected.shape)
        elif norm != 'none':
            axis = (2, 3) if norm == 'subband' else 1
            mean, variance = (f(expected, axis=axis, keepdims=True) for f in (np.mean, np.var))
            expected = (expected - mean) / np.sqrt(variance + 1e-6)
        np.testing.assert_allclose(target.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize('level', [1, 2, 4])
def test_block_norm_is_that_of_mae_in_other_coordinates(level):
    """Pixels of averaged images, normalized in blocks of 2 x 2 as MAE does it; then one level."""
    images = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    images[:, :, :16, :16] = 0.3  # flat, where the small number in the root counts
    blocks = F.pixel_unshuffle(F.avg_pool2d(images, 2 ** (level - 1)), 2).movedim(1, -1)
    mean, variance = blocks.mean(-1, keepdim=True), blocks.var(-1, correction=0, keepdim=True)
    normalized = ((blocks - mean) / (variance + 1e-6).sqrt()).movedim(-1, 1)
    approximation, details = pywt.dwt2(
        F.pixel_shuffle(normalized, 2).numpy(), 'haar', 'periodization'
    )
    expected = np.concatenate([approximation, *details], axis=1)
    (target,) = WaveletTargetGenerator('haar', (level,), norm='block')(images)
    np.testing.assert_allclose(target.numpy(), expected, atol=1e-9)


def test_paper_sizes():
    targets = WaveletTargetGenerator()(torch.randn(1, 3, 224, 224))
    assert [tuple(t.shape) for t in targets] == [(1, 12, s, s) for s in (56, 28, 14, 7)]
    for target in targets:
        torch.testing.assert_close(target.mean((2, 3)), torch.zeros(1, 12), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            target.var((2, 3), correction=0), torch.ones(1, 12), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('wavelet', ['haar', 'sym4'])
def test_to_images_inverts_the_targets(wavelet, norm):
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    generator = WaveletTargetGenerator(wavelet, (1, 2, 3), norm=norm)
    back = generator.to_images(generator(images), images)
    torch.testing.assert_close(back, images, atol=1e-4, rtol=0)


def test_to_images_without_the_finest_level_is_a_smooth_version():
    images = torch.rand(1, 3, 64, 64)
    generator = WaveletTargetGenerator(levels=(2, 3))
    back = generator.to_images(generator(images), images)
    blocks = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    expected = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(back, expected, atol=1e-4, rtol=0)


def test_to_images_without_approximations_keeps_the_mean_colour():
    images = torch.rand(2, 3, 32, 32)
    generator = WaveletTargetGenerator(levels=(1, 2), subbands=('cH', 'cV', 'cD'))
    back = generator.to_images(generator(images), images)
    torch.testing.assert_close(back.mean((2, 3)), images.mean((2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize('norm', NORMS)
def test_constant_images_stay_finite(norm):
    images = torch.full((1, 3, 32, 32), 0.7)
    generator = WaveletTargetGenerator(levels=(1, 5), norm=norm)
    targets = generator(images)
    assert all(t.isfinite().all() for t in targets)
    torch.testing.assert_close(generator.to_images(targets, images), images, atol=1e-3, rtol=0)


def test_half_precision_and_autocast_are_computed_in_float32():
    images = torch.randn(1, 3, 32, 32).half()
    generator = WaveletTargetGenerator(levels=(1, 2))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        targets = generator(images)
    assert all(t.dtype == torch.float32 for t in targets)
    for ours, expected in zip(targets, generator(images.float()), strict=True):
        assert torch.equal(ours, expected)


def test_no_gradient_flows_through_targets():
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    assert not any(t.requires_grad for t in WaveletTargetGenerator(levels=(1,))(images))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(wavelet='hear'), "unknown wavelet 'hear'"),
        (dict(levels=()), 'levels must be ascending'),
        (dict(levels=(0, 1)), 'levels must be ascending'),
        (dict(levels=(3, 2)), r'levels must be ascending whole numbers, 1 or more, got \(3, 2\)'),
        (dict(levels='abc'), "levels must be ascending whole numbers, 1 or more, got 'abc'"),
        (dict(levels=3), 'levels must be ascending whole numbers, 1 or more, got 3'),
        (dict(levels=(2, 2)), 'levels must be ascending'),
        (dict(subbands=('cA', 'cX')), 'subbands must be some of'),
        (dict(subbands=('cA', 'cA')), 'each once'),
        (dict(subbands=()), 'subbands must be some of'),
        (dict(norm='image'), "norm must be one of .*got 'image'"),
        (dict(img_size=0), r'img_size must be a height and a width above 0, got \(0, 0\)'),
        (dict(img_size=(1, 2, 3)), 'img_size must be a height and a width'),
    ],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        WaveletTargetGenerator(**kwargs)


def test_refuses_sizes():
    with pytest.raises(ValueError, match='level 5 needs sides divisible by 32, got 200 x 224'):
        WaveletTargetGenerator(levels=(3, 5))(torch.randn(1, 3, 200, 224))
    with pytest.raises(ValueError, match='level 3 needs sides divisible by 8, got 100 x 100'):
        WaveletTargetGenerator(levels=(2, 3), img_size=100)(torch.randn(1, 3, 224, 224))


def test_real_images(shared_data):
    """Photographs vary over all levels: no subband of theirs is empty, and the targets agree."""
    paths = sorted(shared_data.glob('imagenet_samples/*/*'))[:4]
    images = np.stack([np.asarray(Image.open(p).convert('RGB').resize((224, 224))) for p in paths])
    images = images.transpose(0, 3, 1, 2) / 255 - 0.5
    generator = WaveletTargetGenerator(norm='none')
    for level, target in zip((2, 3, 4, 5), generator(torch.from_numpy(images)), strict=True):
        expected = by_pywavelets(images, 'haar', level, ('cA', 'cH', 'cV', 'cD'))
        np.testing.assert_allclose(target.numpy(), expected, atol=1e-10)
        assert target.std((2, 3)).min() > 1e-3


@pytest.mark.parametrize('norm', ['subband', 'none'])
def test_targets_of_images_at_another_size(norm):
    """They are those of images that Pillow has resized, and lead back to the size of before."""
    rng = np.random.default_rng(0)
    small = rng.normal(size=(2, 3, 7, 7)).repeat(8, 2).repeat(8, 3)  # 56 x 56
    resized = np.stack(
        [
            [
                np.asarray(Image.fromarray(part.astype(np.float32)).resize((64, 64), Image.BICUBIC))
                for part in image
            ]
            for image in small
        ]
    )
    images = torch.from_numpy(small).float()
    generator = WaveletTargetGenerator(levels=(1, 2, 4), norm=norm, img_size=64)
    expected = WaveletTargetGenerator(levels=(1, 2, 4), norm=norm)(torch.from_numpy(resized))
    for target, other in zip(generator(images), expected, strict=True):
        torch.testing.assert_close(target, other, rtol=1e-4, atol=1e-4)
    full = WaveletTargetGenerator(levels=(1, 2, 3), norm=norm, img_size=(64, 64))
    again = full.to_images(full(images), images)
    assert again.shape == images.shape
    assert (again - images).square().mean() < 0.02 * images.var()
    # Without the approximation, the mean colour takes its place.
    details = WaveletTargetGenerator(
        levels=(2,), subbands=('cH', 'cV', 'cD'), norm=norm, img_size=64
    )
    assert details.to_images(details(images), images).shape == images.shape
