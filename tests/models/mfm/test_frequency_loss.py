"""The loss on half the spectrum, against the formulas on the whole one."""

import pytest
import torch

from wamim_mm import FrequencyLoss
from wamim_mm.ops import low_pass_mask

SIZES = [(16, 16), (15, 15), (12, 18), (18, 9)]


def direct(pred, target, mask=None, gamma=1.0, weights=None, patches=1, mean_spectrum=False):
    """MFM's formulas as they stand: two whole complex spectra, without any shortcut.

    Patch by patch, frequency by frequency. ``weights``: None, or ``(gamma, log, over the batch)``.
    """

    def spectrum(x):
        rows = [row.chunk(patches, -1) for row in x.chunk(patches, -2)]
        x = torch.stack([patch for row in rows for patch in row], 1)  # (N, P, C, h, w)
        x = torch.fft.fftshift(torch.fft.fft2(x, norm='ortho'), dim=(-2, -1))
        return x.mean(0, keepdim=True) if mean_spectrum else x

    difference = spectrum(pred) - spectrum(target)
    modulus = (difference.real**2 + difference.imag**2).sqrt()
    loss = modulus**gamma
    if weights is not None:
        exponent, log, batch = weights
        matrix = modulus.detach() ** exponent
        if log:
            matrix = torch.log(matrix + 1)
        largest = matrix.max() if batch else matrix.flatten(3).max(3).values[..., None, None]
        loss = loss * (matrix / largest).nan_to_num(0)
    if mask is None:
        return loss.mean()
    mask = mask.expand(len(pred), *mask.shape[-2:])
    values = []
    for sample in range(len(pred)):
        one = loss[0 if mean_spectrum else sample]  # (P, C, h, w)
        values.append(one[..., ~mask[sample]].mean((0, 1)))
    return torch.cat(values).mean()


def images(size, batch=3):
    return torch.randn(2, batch, 3, *size, dtype=torch.float64)


def masks(size, batch=3):
    low, wide = low_pass_mask(size, 3), low_pass_mask(size, 6)
    samples = torch.stack([low, ~low, wide & ~low])[:batch]
    return dict(
        none=None,
        low=low,
        high=~low,
        band=wide & ~low,
        no_band=low | ~wide,
        per_sample=samples,
        random=torch.rand(batch, *size) < 0.5,  # without symmetry
    )


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
def test_equals_the_whole_spectrum(size, gamma):
    pred, target = images(size)
    for name, mask in masks(size).items():
        loss = FrequencyLoss(gamma=gamma)(pred, target, mask)
        expected = direct(pred, target, mask, gamma)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12, msg=name)
        single = FrequencyLoss(gamma=gamma)(pred.float(), target.float(), mask)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single, expected.float(), rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('log', [False, True])
@pytest.mark.parametrize('batch', [False, True])
@pytest.mark.parametrize('exponent', [1.0, 0.7])
def test_focal_weights(size, log, batch, exponent):
    pred, target = images(size)
    loss = FrequencyLoss(
        with_matrix=True, matrix_gamma=exponent, log_matrix=log, batch_matrix=batch
    )
    for mask in masks(size).values():
        expected = direct(pred, target, mask, weights=(exponent, log, batch))
        torch.testing.assert_close(loss(pred, target, mask), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('mean_spectrum', [False, True])
@pytest.mark.parametrize('patches', [1, 2, 3])
@pytest.mark.parametrize('weights', [None, (1.0, True, False)])
def test_patches_and_average_spectrum(patches, mean_spectrum, weights):
    pred, target = images((12, 18))
    options = dict(with_matrix=True, log_matrix=True) if weights else {}
    loss = FrequencyLoss(patch_factor=patches, ave_spectrum=mean_spectrum, **options)
    for mask in masks((12 // patches, 18 // patches)).values():
        expected = direct(
            pred, target, mask, weights=weights, patches=patches, mean_spectrum=mean_spectrum
        )
        torch.testing.assert_close(loss(pred, target, mask), expected, rtol=1e-12, atol=1e-12)


def test_gradients_equal():
    pred, target = images((12, 9))
    pred.requires_grad_()
    for mask in masks((12, 9)).values():
        loss = FrequencyLoss(with_matrix=True)
        actual = torch.autograd.grad(loss(pred, target, mask), pred)[0]
        expected = torch.autograd.grad(direct(pred, target, mask, weights=(1, 0, 0)), pred)[0]
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('gamma', [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize('options', [{}, dict(patch_factor=2), dict(ave_spectrum=True)])
def test_gradcheck(gamma, options):
    pred, target = images((4, 6), batch=2)
    loss = FrequencyLoss(gamma=gamma, **options)
    side = (4 // options.get('patch_factor', 1), 6 // options.get('patch_factor', 1))
    mask = torch.rand(2, *side) < 0.5
    assert torch.autograd.gradcheck(
        lambda pred: loss(pred, target, mask), pred.requires_grad_(), check_undefined_grad=False
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('gamma', [0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize('with_matrix', [False, True])
@pytest.mark.parametrize('scale', [0.0, 1e-300, 1e-45, 1e-38, 1e-30])
def test_gradient_is_finite_where_nothing_differs(dtype, gamma, with_matrix, scale):
    target = torch.zeros(2, 3, 8, 9, dtype=dtype)
    pred = (torch.randn(2, 3, 8, 9, dtype=torch.float64) * scale).to(dtype).requires_grad_()
    loss = FrequencyLoss(gamma=gamma, with_matrix=with_matrix)(pred, target)
    loss.backward()
    assert loss.isfinite() and pred.grad.isfinite().all()
    assert scale or loss == 0


def test_constant_images_differ_at_frequency_0_only():
    pred, target = torch.full((1, 3, 8, 8), 2.0), torch.full((1, 3, 8, 8), 0.5)
    loss = FrequencyLoss()
    torch.testing.assert_close(loss(pred, target), torch.tensor(1.5 * 8 / 64))
    assert loss(pred, target, low_pass_mask((8, 8), 1)) == 0


def test_nothing_removed_is_nothing_to_learn():
    pred = torch.randn(2, 3, 8, 8, requires_grad=True)
    loss = FrequencyLoss()(pred, torch.zeros(2, 3, 8, 8), torch.ones(8, 8, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and not pred.grad.any()


def test_kept_frequencies_get_no_gradient():
    pred = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    mask = low_pass_mask((16, 16), 4)
    FrequencyLoss()(pred, torch.zeros_like(pred), mask).backward()
    spectrum = torch.fft.fftshift(torch.fft.fft2(pred.grad), dim=(-2, -1))
    assert spectrum[..., mask].abs().max() < 1e-12 < spectrum[..., ~mask].abs().min()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    pred, target = images((15, 14)).to(dtype)
    mask = low_pass_mask((15, 14), 4)
    expected = FrequencyLoss()(pred.float(), target.float(), mask)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = FrequencyLoss()(pred, target.float(), mask)
    assert loss.dtype == torch.float32 and loss == expected


def test_nan_is_not_hidden():
    pred = torch.randn(1, 3, 8, 8)
    pred[0, 0, 0, 0] = float('nan')
    for with_matrix in (False, True):
        assert FrequencyLoss(with_matrix=with_matrix)(pred, torch.zeros(1, 3, 8, 8)).isnan()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(gamma=0), 'gamma must be positive, got 0'),
        (dict(gamma=float('nan')), 'gamma must be positive, got nan'),
        (dict(with_matrix=True, matrix_gamma=-1), 'matrix_gamma must be positive, got -1'),
        (dict(patch_factor=0), 'patch_factor must be a whole number, 1 or more, got 0'),
        (dict(patch_factor=1.5), 'got 1.5'),
        (dict(log_matrix=True), 'with_matrix=False'),
        (dict(batch_matrix=True), 'with_matrix=False'),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        FrequencyLoss(**options)


def test_refuses_shapes():
    x = torch.rand(2, 3, 8, 9)
    with pytest.raises(ValueError, match=r'one shape, got \(2, 3, 8, 9\) and \(1, 3, 8, 9\)'):
        FrequencyLoss()(x, x[:1])
    with pytest.raises(ValueError, match='patch_factor 2 does not divide images of 8 x 9'):
        FrequencyLoss(patch_factor=2)(x, x)
    with pytest.raises(ValueError, match=r'\(8, 9\) or \(2, 8, 9\), got torch.bool \(9, 8\)'):
        FrequencyLoss()(x, x, torch.ones(9, 8, dtype=torch.bool))


@pytest.mark.gpu
@pytest.mark.parametrize('options', [{}, dict(with_matrix=True, log_matrix=True), dict(gamma=0.5)])
def test_device_equals_cpu_and_never_waits(options):
    pred, target = torch.randn(2, 4, 3, 48, 33)
    mask = torch.rand(4, 48, 33) < 0.5
    loss = FrequencyLoss(**options)
    expected = loss(pred, target, mask)
    on_device = pred.cuda().requires_grad_(), target.cuda(), mask.cuda()
    loss(*on_device).backward()  # builds the plans of the transform
    torch.cuda.set_sync_debug_mode('error')
    try:
        actual = loss(*on_device)
        actual.backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-5, atol=1e-6)
