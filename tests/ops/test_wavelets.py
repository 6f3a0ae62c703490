"""PyWavelets is the oracle."""

import warnings

import numpy as np
import pytest
import pywt
import torch

from wamim_mm.ops import wavelets
from wamim_mm.ops.wavelets import MODES, approximation2, filter_bank, wavedec2, waverec2

WAVELETS = pywt.wavelist(kind='discrete')
# Even, odd, mixed, non-square, and smaller than most filters.
SHAPES = [(2, 16, 16), (1, 17, 13), (3, 5, 3), (64, 33)]


def reference(x, wavelet, mode, level):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # levels beyond the useful ones
        return pywt.wavedec2(x, wavelet, mode, level)


def flat(coeffs):
    return [np.asarray(c) for level in coeffs for c in (level if type(level) is tuple else [level])]


def assert_same(ours, theirs, tolerance):
    ours, theirs = flat(ours), flat(theirs)
    assert [c.shape for c in ours] == [c.shape for c in theirs]
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('wavelet', WAVELETS)
def test_equals_pywavelets(wavelet, mode):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = rng.standard_normal(shape)
        for level in (1, 2, None):
            expected = reference(x, wavelet, mode, level)
            coeffs = wavedec2(torch.from_numpy(x), wavelet, mode, level)
            assert_same(coeffs, expected, 1e-10)
            if level == 1:
                alone = approximation2(torch.from_numpy(x), wavelet, mode)
                assert_same([alone], expected[:1], 1e-10)
            back = waverec2(coeffs, wavelet, mode)
            assert_same([back], [pywt.waverec2(expected, wavelet, mode)], 1e-10)
            if wavelet != 'dmey':  # an approximation of a wavelet, which PyWavelets cannot invert
                inside = back[..., : shape[-2], : shape[-1]].numpy()
                np.testing.assert_allclose(inside, x, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('wavelet', ['haar', 'db4', 'bior4.4', 'rbio2.2', 'coif2'])
def test_float32(wavelet, mode):
    x = np.random.default_rng(0).uniform(size=(2, 3, 64, 48))
    coeffs = wavedec2(torch.from_numpy(x).float(), wavelet, mode, 3)
    # One level multiplies a constant by two, so what float32 can hold grows with the values.
    scale = max(np.abs(c).max() for c in flat(coeffs))
    for our, their in zip(flat(coeffs), flat(reference(x, wavelet, mode, 3)), strict=True):
        np.testing.assert_allclose(our / scale, their / scale, atol=1e-6)
    assert all(c.dtype == np.float32 for c in flat(coeffs))
    np.testing.assert_allclose(waverec2(coeffs, wavelet, mode).numpy(), x, atol=1e-5)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('wavelet', ['haar', 'db3', 'bior2.2'])
@pytest.mark.parametrize('shape', [(1, 6, 8), (2, 5, 7)])
def test_gradients(wavelet, mode, shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def decompose(x):
        (approximation, *details) = wavedec2(x, wavelet, mode, 2)
        return approximation, *(c for level in details for c in level)

    assert torch.autograd.gradcheck(decompose, x)

    coeffs = [c.detach().requires_grad_() for c in decompose(x)]

    def reconstruct(approximation, *details):
        return waverec2([approximation, details[:3], details[3:]], wavelet, mode)

    assert torch.autograd.gradcheck(reconstruct, coeffs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('shape', [(2, 3, 32, 32), (1, 15, 6), (7, 9), (1, 2)])
def test_fast_haar_equals_the_general_path(monkeypatch, mode, shape):
    x = torch.randn(shape, dtype=torch.float64)
    level = 1 if min(shape[-2:]) == 1 else 3
    if mode == 'reflect':
        level = 1
    if mode == 'reflect' and min(shape[-2:]) == 1:
        return  # PyWavelets refuses it, see test_refuses
    fast = wavedec2(x, 'haar', mode, level)
    fast_back = waverec2(fast, 'haar', mode)
    monkeypatch.setattr(wavelets, '_is_haar', lambda bank: False)
    slow = wavedec2(x, 'haar', mode, level)
    assert_same(fast, slow, 1e-12)
    assert_same([fast_back], [waverec2(slow, 'haar', mode)], 1e-12)


def test_haar_has_other_names():
    for name in ('db1', 'bior1.1', 'rbio1.1'):
        assert wavelets._is_haar(filter_bank(name))
    assert not wavelets._is_haar(filter_bank('db2'))


def test_leading_dimensions():
    x = torch.randn(2, 1, 3, 8, 12)
    coeffs = wavedec2(x, 'db2', level=2)
    assert coeffs[0].shape == (2, 1, 3, 2, 3)
    one = wavedec2(x[1, 0, 2], 'db2', level=2)
    torch.testing.assert_close(coeffs[1][2][1, 0, 2], one[1][2])
    assert wavedec2(x[:0], 'haar', level=1)[0].shape == (0, 1, 3, 4, 6)


def test_level_zero_and_default_level():
    x = torch.randn(64, 64)
    (same,) = wavedec2(x, level=0)
    assert torch.equal(same, x)
    assert len(wavedec2(x, 'db4')) - 1 == pywt.dwtn_max_level((64, 64), 'db4')


def test_half_precision_and_integers_are_computed_in_float32():
    x = torch.randint(0, 256, (1, 8, 8), dtype=torch.uint8)
    expected = wavedec2(x.double(), level=2)
    for given in (x, x.half(), x.bfloat16()):
        coeffs = wavedec2(given, level=2)
        assert coeffs[0].dtype == torch.float32
    assert_same(wavedec2(x, level=2), expected, 1e-5)


def test_autocast_does_not_touch_it():
    x = torch.rand(1, 16, 16)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        coeffs = wavedec2(x, 'db2', level=1)
    assert torch.equal(coeffs[0], wavedec2(x, 'db2', level=1)[0])


def test_nan_stays_where_it_is():
    x = torch.zeros(8, 8)
    x[0, 0] = float('nan')
    approximation = wavedec2(x, level=1)[0]
    assert approximation.isnan().sum() == 1


def test_missing_details_are_zeros():
    x = torch.randn(1, 16, 16, dtype=torch.float64)
    approximation, _, fine = wavedec2(x, 'sym2', level=2)
    zeros = torch.zeros_like(approximation)
    expected = waverec2([approximation, (zeros, zeros, zeros), fine], 'sym2')
    assert torch.equal(waverec2([approximation, None, fine], 'sym2'), expected)
    assert torch.equal(waverec2([approximation, (None, zeros, None), fine], 'sym2'), expected)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x: wavedec2(x, 'hear'), "unknown wavelet 'hear'"),
        (lambda x: wavedec2(x, 'morl'), "unknown wavelet 'morl'"),
        (lambda x: wavedec2(x, mode='wrap'), "unknown mode 'wrap'.*periodization"),
        (lambda x: wavedec2(x, level=-1), 'whole number, 0 or more, got -1'),
        (lambda x: wavedec2(x[0]), 'H, W'),
        (lambda x: wavedec2(x[:, :0]), 'H, W'),
        (lambda x: wavedec2(x[:1], mode='reflect', level=1), 'two samples a side'),
        (lambda x: wavedec2(x.to(torch.complex64)), 'complex'),
        (lambda x: waverec2([]), 'begin with the approximation'),
        (lambda x: waverec2([x, x]), 'cH, cV, cD'),
        (lambda x: waverec2([x, (x, x)]), 'got 2'),
        (lambda x: waverec2([x, (x[:2], x, x)]), 'differ in shape'),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.randn(4, 4))


@pytest.mark.parametrize('x', [np.ones((4, 4)), [[1.0, 2.0]], None])
def test_refuses_what_is_no_tensor(x):
    with pytest.raises(TypeError, match=rf'must be tensors, got {type(x).__name__}; torch.as_t'):
        wavedec2(x)
    with pytest.raises(TypeError, match='must be tensors'):
        waverec2([torch.ones(2, 2), (x if x is not None else 1, None, None)])
