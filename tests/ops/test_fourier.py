"""Masks and filters on half the spectrum, against the formulas on the whole one."""

import pytest
import torch

from wamim_mm.ops import frequency_filter, low_pass_mask
from wamim_mm.ops.fourier import filter_spectrum, fold_mask, pair_counts

SIZES = [(16, 16), (15, 15), (12, 17), (17, 12), (1, 8), (8, 1), (2, 3)]


def direct(x, mask):
    """MFM's formulas as they stand: complex, centred, real part, clamped."""
    mask = mask if mask.ndim == 2 else mask[:, None]
    centred = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) * mask
    return torch.fft.ifft2(torch.fft.ifftshift(centred, dim=(-2, -1))).real.clamp(0, 1)


def by_hand(size, radius):
    (height, width), rows = size, []
    for y in range(height):
        rows.append(
            [((y - height // 2) ** 2 + (x - width // 2) ** 2) ** 0.5 < radius for x in range(width)]
        )
    return torch.tensor(rows)


@pytest.mark.parametrize('size', [*SIZES, (224, 224)])
@pytest.mark.parametrize('radius', [0, 1, 3, 4.5, 16])
def test_low_pass_mask(size, radius):
    mask = low_pass_mask(size, radius)
    assert mask.dtype == torch.bool and torch.equal(mask, by_hand(size, radius))


@pytest.mark.parametrize('radius', [-1, float('nan'), float('inf')])
def test_refuses_radii(radius):
    with pytest.raises(ValueError, match=f'0 or more and finite, got {radius}'):
        low_pass_mask((8, 8), radius)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('kind', ['low', 'high', 'band', 'no band', 'random', 'per sample'])
def test_filter_equals_the_whole_spectrum(size, kind):
    x = torch.rand(3, 2, *size, dtype=torch.float64)
    low, wide = low_pass_mask(size, 3), low_pass_mask(size, 6)
    mask = {
        'low': low,
        'high': ~low,
        'band': wide & ~low,
        'no band': low | ~wide,
        'random': torch.rand(size) < 0.5,  # without symmetry
        'per sample': torch.rand(3, *size) < 0.5,
    }[kind]
    torch.testing.assert_close(frequency_filter(x, mask), direct(x, mask), rtol=0, atol=1e-12)


@pytest.mark.parametrize('size', SIZES)
def test_every_single_frequency(size):
    """A mask of one frequency has no partner, but for those that are their own."""
    x = torch.rand(1, 1, *size, dtype=torch.float64) - 0.5
    for mask in torch.eye(size[0] * size[1]).bool().view(-1, *size):
        centred = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) * mask
        expected = torch.fft.ifft2(torch.fft.ifftshift(centred, dim=(-2, -1))).real
        torch.testing.assert_close(filter_spectrum(x, mask), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('size', SIZES)
def test_halves_count_the_whole(size):
    mask = torch.rand(size) < 0.4
    weights = fold_mask(mask, torch.float64) * pair_counts(size[1], torch.float64, mask.device)
    assert weights.sum() == mask.sum()


@pytest.mark.parametrize('size', SIZES)
def test_circles_need_no_halves(size):
    for radius in (1, 2.5, 5):
        assert set(fold_mask(low_pass_mask(size, radius), torch.float64).unique().tolist()) <= {
            0,
            1,
        }


def test_border_masks():
    x = torch.rand(2, 3, 9, 10, dtype=torch.float64)
    everything = torch.ones(9, 10, dtype=torch.bool)
    torch.testing.assert_close(frequency_filter(x, everything), x)
    assert not frequency_filter(x, ~everything).any()
    mean = frequency_filter(x, low_pass_mask((9, 10), 1))
    torch.testing.assert_close(mean, x.mean((2, 3), keepdim=True).expand_as(x))
    grey = torch.full_like(x, 0.3)
    torch.testing.assert_close(frequency_filter(grey, low_pass_mask((9, 10), 2)), grey)
    assert frequency_filter(grey, ~low_pass_mask((9, 10), 2)).max() < 1e-12


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.uint8])
def test_half_precision_is_computed_in_float32(dtype):
    x = torch.rand(2, 3, 15, 15)
    x = (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)
    mask = low_pass_mask((15, 15), 4)
    expected = frequency_filter(x.float(), mask)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = frequency_filter(x, mask)
    assert actual.dtype == torch.float32 and torch.equal(actual, expected)


def test_gradient():
    x = torch.rand(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(5, 6) < 0.5
    assert torch.autograd.gradcheck(lambda x: filter_spectrum(x, mask), x)


@pytest.mark.parametrize(
    'mask', [torch.ones(4, 5), torch.ones(5, 4) > 0, torch.ones(3, 4, 5) > 0, torch.ones(5) > 0]
)
def test_refuses_masks(mask):
    with pytest.raises(ValueError, match=r'must be boolean of shape \(4, 5\) or \(2, 4, 5\)'):
        frequency_filter(torch.rand(2, 3, 4, 5), mask)


@pytest.mark.gpu
def test_device_equals_cpu_and_never_waits():
    x = torch.rand(4, 3, 33, 48)
    mask = torch.rand(4, 33, 48) < 0.5
    on_device = x.cuda(), mask.cuda()
    frequency_filter(*on_device)  # builds the plans of the transform
    torch.cuda.set_sync_debug_mode('error')
    try:
        filtered = frequency_filter(*on_device)
        low = low_pass_mask((33, 48), 5, torch.device('cuda'))
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.testing.assert_close(filtered.cpu(), frequency_filter(x, mask), rtol=0, atol=1e-5)
    assert torch.equal(low.cpu(), low_pass_mask((33, 48), 5))
