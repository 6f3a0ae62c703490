"""What holds for every argument, on arguments that hypothesis draws.

The examples are the same in every run; `python -m tests.faults.ops` draws many new ones.
"""

import math
import warnings

import numpy as np
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wamim_mm.ops.fourier import filter_spectrum, frequency_filter, low_pass_mask
from wamim_mm.ops.masking import (
    drawn_mask,
    gather_tokens,
    merge_tokens,
    num_visible_units,
    random_mask,
    unit_tokens,
    visible_patches,
    visible_units,
)
from wamim_mm.ops.wavelets import MODES, approximation2, filter_bank, wavedec2, waverec2
from wamim_mm.ops.windows import group_windows, window_cells

# The tests take the profile that is loaded when they are defined.
settings.register_profile('ops', max_examples=60, derandomize=True, deadline=None, database=None)
_before = settings.get_current_profile_name()
settings.load_profile('ops')

# 'dmey' is the approximation of a wavelet, which no transform inverts.
WAVELETS = [name for name in pywt.wavelist(kind='discrete') if name != 'dmey']
sides = st.integers(1, 24)
seeds = st.integers(0, 2**32 - 1)
ratios = st.floats(0, 1, exclude_min=True, exclude_max=True)
grids = st.tuples(st.integers(1, 14), st.integers(1, 14))


@st.composite
def images(draw, dtypes=(torch.float64,)):
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    size = [draw(st.integers(1, 24)) for _ in range(2)]
    generator = torch.Generator().manual_seed(draw(seeds))
    dtype = draw(st.sampled_from(dtypes))
    return torch.randn(*batch, *size, generator=generator, dtype=torch.float64).to(dtype)


def quietly(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # levels beyond the useful ones
        return function(*arguments)


def flat(coeffs):
    return [part for level in coeffs for part in (level if type(level) is tuple else [level])]


def assert_close(one, other, tolerance=1e-8):
    one, other = (np.asarray(value, np.float64) for value in (one, other))
    assert one.shape == other.shape
    scale = max(1.0, np.abs(other).max(initial=0))
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


# Wavelets


@given(images(), st.sampled_from(WAVELETS), st.sampled_from(MODES), st.integers(0, 4) | st.none())
def test_wavelets_equal_pywavelets(x, wavelet, mode, level):
    if mode == 'reflect':
        x = torch.cat([x, x, x.flip(-1)], -1)[..., : 2 * x.shape[-1] + 1]
        x = torch.cat([x, x.flip(-2), x], -2)
        level = min(level or 0, 1)
    expected = quietly(pywt.wavedec2, x.numpy(), wavelet, mode, level)
    found = wavedec2(x, wavelet, mode, level)
    for ours, theirs in zip(flat(found), flat(expected), strict=True):
        assert_close(ours, theirs)
    back = waverec2(found, wavelet, mode)
    assert_close(back, quietly(pywt.waverec2, expected, wavelet, mode))
    assert_close(back[..., : x.shape[-2], : x.shape[-1]], x, 1e-6)
    if level == 1:
        assert_close(approximation2(x, wavelet, mode), expected[0])


@given(
    images((torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.uint8)),
    st.sampled_from(WAVELETS),
    st.integers(0, 3),
)
def test_wavelets_of_every_dtype(x, wavelet, level):
    found = wavedec2(x, wavelet, level=level)
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    assert all(part.dtype == kind for part in flat(found))
    tolerance = 1e-7 if kind == torch.float64 else 1e-3
    back = waverec2(found, wavelet)[..., : x.shape[-2], : x.shape[-1]]
    assert_close(back.double(), x.double(), tolerance)


@given(images(), st.floats(-9, 9), st.sampled_from(WAVELETS), st.sampled_from(MODES))
def test_wavelets_are_linear(x, factor, wavelet, mode):
    if mode == 'reflect' and min(x.shape[-2:]) < 2:
        return
    y = x.flip(-1).cumsum(-1)
    sums = wavedec2(x + factor * y, wavelet, mode, 1)
    parts = zip(*(flat(wavedec2(part, wavelet, mode, 1)) for part in (x, y)), strict=True)
    for whole, (one, other) in zip(flat(sums), parts, strict=True):
        assert_close(whole, one + factor * other)


@given(
    images(),
    st.sampled_from([name for name in WAVELETS if pywt.Wavelet(name).orthogonal]),
    st.integers(0, 3),
)
def test_orthogonal_wavelets_keep_the_energy(x, wavelet, level):
    """Of sides that stay even; the transform is a rotation then."""
    x = torch.nn.functional.pad(x, [0, -x.shape[-1] % 8, 0, -x.shape[-2] % 8])
    energy = sum(part.square().sum() for part in flat(wavedec2(x, wavelet, level=level)))
    assert_close(energy, x.square().sum(), 1e-6)


@given(images(), st.sampled_from(['haar', 'db2', 'bior2.2']), st.integers(1, 3))
def test_samples_of_a_batch_do_not_meet(x, wavelet, level):
    whole = wavedec2(torch.stack([x, -x]), wavelet, level=level)
    for ours, alone in zip(flat(whole), flat(wavedec2(x, wavelet, level=level)), strict=True):
        assert torch.equal(ours[0], alone)


@given(
    st.lists(st.integers(0, 6), max_size=3),
    st.lists(st.integers(0, 6), max_size=3),
    st.sampled_from(['haar', 'db2', 'db4']),
    st.sampled_from(MODES),
)
def test_coefficients_of_any_shape(shape, other, wavelet, mode):
    """They are transformed as by PyWavelets, or a ValueError says why not."""
    coeffs = [torch.ones(shape), (torch.ones(other), None, torch.ones(other))]
    try:
        found = waverec2(coeffs, wavelet, mode)
    except ValueError:
        return
    zeros = np.zeros(other)
    theirs = [np.ones(other), (np.ones(other), zeros, np.ones(other))]
    assert_close(found, pywt.waverec2(theirs, wavelet, mode), 1e-5)


@given(
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from(['haar', 'db2', 'gaus1', '']),
    st.sampled_from([*MODES, 'constant', '']),
    st.sampled_from([-1, 0, 1, 2, None, 0.5, '1']),
)
def test_decompositions_refuse_with_value_errors(shape, wavelet, mode, level):
    try:
        found = wavedec2(torch.ones(shape), wavelet, mode, level)
    except ValueError:
        return
    assert wavelet in WAVELETS and mode in MODES and isinstance(level, int | None)
    assert flat(found)[0].ndim == len(shape)


def test_every_wavelet_has_even_filters():
    for wavelet in pywt.wavelist(kind='discrete'):
        assert {len(taps) % 2 for taps in filter_bank(wavelet)} == {0}


# Fourier


@given(sides, sides, st.floats(0, 60))
def test_circles(height, width, radius):
    """Against the definition in whole numbers, and with every frequency beside its opposite."""
    mask = low_pass_mask((height, width), radius)
    for row in range(height):
        for column in range(width):
            distance = (row - height // 2) ** 2 + (column - width // 2) ** 2
            if not math.isclose(distance, radius**2):
                assert mask[row, column] == (distance < radius**2)
    assert radius == 0 or mask[height // 2, width // 2]


@given(st.integers(1, 3), st.integers(1, 4), sides, sides, seeds, st.floats(0, 60), st.booleans())
def test_filters(batch, channels, height, width, seed, radius, random):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, channels, height, width, generator=generator, dtype=torch.float64)
    mask = low_pass_mask((height, width), radius)
    if random:  # of each sample its own
        mask = torch.rand(batch, height, width, generator=generator) < 0.5
    low, high = filter_spectrum(x, mask), filter_spectrum(x, ~mask)
    assert_close(low + high, x)
    spectrum = np.fft.fftshift(np.fft.fft2(x.numpy()), axes=(-2, -1))
    kept = mask.numpy() if mask.ndim == 2 else mask.numpy()[:, None]
    expected = np.fft.ifft2(np.fft.ifftshift(spectrum * kept, axes=(-2, -1))).real
    assert_close(low, expected)
    assert_close(frequency_filter(x, mask), expected.clip(0, 1))
    assert_close(filter_spectrum(x[:1], mask if mask.ndim == 2 else mask[:1]), low[:1])


@given(
    st.lists(st.integers(0, 4), max_size=5),
    st.lists(st.integers(0, 4), max_size=4),
    st.sampled_from([torch.bool, torch.float32]),
    st.sampled_from([torch.float32, torch.uint8, torch.complex64]),
)
def test_filters_refuse_with_value_errors(shape, mask_shape, mask_dtype, dtype):
    try:
        found = frequency_filter(
            torch.ones(shape, dtype=dtype), torch.ones(mask_shape).to(mask_dtype)
        )
    except ValueError:
        return
    assert found.shape == tuple(shape) and mask_dtype == torch.bool and len(shape) == 4


@given(st.floats(), st.integers(-2, 5), st.integers(-2, 5))
def test_circles_refuse_with_value_errors(radius, height, width):
    try:
        mask = low_pass_mask((height, width), radius)
    except ValueError:
        return
    assert mask.shape == (height, width) and 0 <= radius < math.inf


# Masks


@given(st.integers(1, 4), grids, ratios, seeds)
def test_masks(batch, grid, ratio, seed):
    total = math.prod(grid)
    try:
        visible = num_visible_units(grid, ratio)
    except ValueError:
        assert round(total * (1 - ratio)) in (0, total)
        return
    assert abs(visible - total * (1 - ratio)) <= 0.5 + 1e-9
    drawn = [random_mask(batch, grid, ratio, torch.Generator().manual_seed(seed)) for _ in '12']
    assert torch.equal(*drawn)
    assert drawn[0].shape == (batch, *grid) and drawn[0].dtype == torch.bool
    assert drawn[0].sum((1, 2)).tolist() == [total - visible] * batch
    units = visible_units(drawn[0])
    shown = torch.ones(batch, total, dtype=torch.bool).scatter(1, units, False)
    assert torch.equal(shown.view_as(drawn[0]), drawn[0])
    assert (units.diff(dim=1) > 0).all()
    assert torch.equal(visible_units(drawn[0][:1]), units[:1])


@given(st.integers(0, 2**53 - 1), st.integers(2, 9), st.integers(1, 9))
def test_masks_of_a_number(number, height, width):
    draw = number / 2**53
    mask = drawn_mask(draw, (height, width), 0.5)
    torch.rand(7)  # whatever else has been drawn
    assert torch.equal(mask, drawn_mask(draw, (height, width), 0.5))
    assert mask.sum() == height * width - round(height * width * 0.5)


@given(
    st.integers(-1, 3),
    st.tuples(st.integers(-2, 4), st.integers(-2, 4)),
    st.floats() | st.sampled_from(['half', None, 0, 1]),
    st.floats(),
)
def test_masks_refuse_with_value_errors(batch, grid, ratio, draw):
    for function in (
        lambda: random_mask(batch, grid, ratio),
        lambda: drawn_mask(draw, grid, ratio)[None],
    ):
        try:
            mask = function()
        except ValueError:
            continue
        assert mask.shape[1:] == grid and 0 < ratio < 1


@given(st.lists(st.integers(0, 3), max_size=4), st.sampled_from([torch.bool, torch.float32]), seeds)
def test_visible_units_refuse_with_value_errors(shape, dtype, seed):
    mask = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5).to(dtype)
    try:
        units = visible_units(mask)
    except ValueError:
        return
    assert len(units) == shape[0] and units.shape[1] > 0


@given(st.integers(1, 3), grids, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), seeds)
def test_tokens_and_patches(batch, grid, side, patch, channels, seed):
    """Against the patches of the whole image, at the same positions."""
    generator = torch.Generator().manual_seed(seed)
    unit = side * patch
    size = [units * unit for units in grid]
    x = torch.rand(batch, channels, *size, generator=generator)
    count = int(torch.randint(1, math.prod(grid) + 1, (), generator=generator))
    units = torch.rand(batch, math.prod(grid), generator=generator).argsort(1)[:, :count]
    positions = unit_tokens(units, grid[1], side)
    assert all(len(set(row)) == count * side**2 for row in positions.tolist())
    whole = torch.nn.functional.unfold(x, patch, stride=patch).mT  # (N, H * W, C * patch**2)
    patches = visible_patches(x, units, unit, patch)
    assert torch.equal(patches, whole.gather(1, positions[..., None].expand_as(patches)))
    assert torch.equal(gather_tokens(whole, positions), patches)
    merged, coarse = merge_tokens(patches, positions, grid[1] * side, side)
    assert torch.equal(coarse.sort().values, units.sort().values)
    blocks = dict(zip(units[0].tolist(), patches[0].split(side**2), strict=True))
    for unit_, token in zip(coarse[0].tolist(), merged[0], strict=True):
        assert torch.equal(token, blocks[unit_].flatten())


# Windows


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), seeds)
def test_windows(batch, rows, columns, window, seed):
    """Every token is in one group, with all of its cell, and finds its way back."""
    generator = torch.Generator().manual_seed(seed)
    shift = int(torch.randint(0, window, (), generator=generator))
    grid = (rows * window, columns * window)
    cell, offset = window_cells(grid, window, shift)
    total = math.prod(grid)
    assert cell.shape == offset.shape == (total,)
    assert len(set(zip(cell.tolist(), offset.tolist(), strict=True))) == total
    assert cell.bincount().max() <= window**2
    length = int(torch.randint(1, total + 1, (), generator=generator))
    tokens = torch.rand(batch, total, generator=generator).argsort(1)[:, :length]
    groups = group_windows(cell[tokens], offset[tokens], window)
    slots = groups.slots.flatten(1)
    for sample in range(batch):
        inverse = groups.inverse[sample]
        assert len(set(inverse.tolist())) == length
        assert slots[sample, inverse].tolist() == list(range(length))
        assert torch.equal(groups.cells.flatten(1)[sample, inverse], cell[tokens[sample]])
        assert torch.equal(groups.offsets.flatten(1)[sample, inverse], offset[tokens[sample]])
        assert (groups.cells[sample] >= 0).sum() == length
        homes = inverse // groups.slots.shape[2]
        pairs = set(zip(cell[tokens[sample]].tolist(), homes.tolist(), strict=True))
        assert len(pairs) == len(dict(pairs))
    alone = group_windows(cell[tokens[:1]], offset[tokens[:1]], window)
    kept = alone.slots.shape[1]
    assert torch.equal(alone.inverse, groups.inverse[:1])
    assert torch.equal(alone.slots, groups.slots[:1, :kept])
    assert (groups.cells[0, kept:] == -1).all()


settings.load_profile(_before)
