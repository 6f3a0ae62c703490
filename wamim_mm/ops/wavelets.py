"""Two-dimensional discrete wavelet transform of batched tensors.

The filters, the names, the order of the coefficients and the borders are those of PyWavelets
(https://pywavelets.readthedocs.io), with which the tests compare. PyWavelets does not have leading
batch dimensions, gradients or devices; this module does.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

import pywt
import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32

__all__ = ['Mode', 'approximation2', 'wavedec2', 'waverec2']

Mode = Literal['periodization', 'symmetric', 'reflect', 'zero', 'periodic']
Details = tuple[Tensor, Tensor, Tensor]

MODES = get_args(Mode)


class FilterBank(NamedTuple):
    """The four filters of a wavelet, each of the same even length, as PyWavelets stores them."""

    dec_lo: tuple[float, ...]
    dec_hi: tuple[float, ...]
    rec_lo: tuple[float, ...]
    rec_hi: tuple[float, ...]


@cache
def filter_bank(wavelet: str) -> FilterBank:
    """The filters of a PyWavelets wavelet.

    Raises:
        ValueError: PyWavelets has no orthogonal or biorthogonal wavelet of this name.
    """
    if wavelet not in pywt.wavelist(kind='discrete'):
        raise ValueError(
            f'unknown wavelet {wavelet!r}; use one of pywt.wavelist(kind="discrete"), '
            'for example "haar", "db2", "sym4" or "bior2.2"'
        )
    return FilterBank(*(tuple(taps) for taps in pywt.Wavelet(wavelet).filter_bank))


def _is_haar(bank: FilterBank) -> bool:
    return bank == filter_bank('haar')


def wavedec2(
    x: Tensor, wavelet: str = 'haar', mode: Mode = 'periodization', level: int | None = None
) -> list[Tensor | Details]:
    """Multi-level 2-D wavelet decomposition over the last two dimensions (``pywt.wavedec2``).

    Args:
        x: ``(..., H, W)``, at least 1 x 1. Half precision and integers are computed in float32.
        wavelet: Name of an orthogonal or biorthogonal wavelet of PyWavelets.
        mode: How the signal goes on beyond its border.
        level: Number of levels, 0 or more. None: as many as PyWavelets computes by default.

    Returns:
        ``[cA_n, (cH_n, cV_n, cD_n), ..., (cH_1, cV_1, cD_1)]``: the approximation of the coarsest
        level, then horizontal, vertical and diagonal details from coarse to fine. With
        ``'periodization'`` level ``l`` has ``ceil(H / 2**l) x ceil(W / 2**l)`` coefficients.

    Raises:
        TypeError: It is not a tensor.
        ValueError: Unknown wavelet or mode, a level that is negative or no whole number, an empty
            image, or a single row or column to reflect.

    Examples:
        >>> coeffs = wavedec2(torch.ones(1, 8, 8), 'haar', level=2)
        >>> coeffs[0].tolist()
        [[[4.0, 4.0], [4.0, 4.0]]]
        >>> [tuple(c.shape) for c in coeffs[2]]
        [(1, 4, 4), (1, 4, 4), (1, 4, 4)]
    """
    bank, x = _checked(x, wavelet, mode)
    if level is None:
        level = min(pywt.dwt_max_level(side, len(bank.dec_lo)) for side in x.shape[-2:])
    if not isinstance(level, int) or level < 0:
        raise ValueError(f'level must be a whole number, 0 or more, got {level!r}')

    coeffs: list[Tensor | Details] = []
    for _ in range(level):
        x, details = _analysis2(x, bank, mode)
        coeffs.append(details)
    coeffs.append(x)
    return coeffs[::-1]


def approximation2(x: Tensor, wavelet: str = 'haar', mode: Mode = 'periodization') -> Tensor:
    """The approximation alone of one level, without the work for the details.

    Equals ``wavedec2(x, wavelet, mode, level=1)[0]``, whose arguments and errors it has.

    Examples:
        >>> approximation2(torch.ones(1, 4, 4)).tolist()
        [[[2.0, 2.0], [2.0, 2.0]]]
    """
    bank, x = _checked(x, wavelet, mode)
    if _is_haar(bank):
        x = _even_sides(x, mode)
        lo = x[..., 0::2] + x[..., 1::2]
        return torch.lerp(lo[..., 0::2, :], lo[..., 1::2, :], 0.5)
    return _analysis(_analysis(x, bank.dec_lo, mode, -1), bank.dec_lo, mode, -2)


def waverec2(
    coeffs: Sequence[Tensor | Sequence[Tensor | None] | None],
    wavelet: str = 'haar',
    mode: Mode = 'periodization',
) -> Tensor:
    """Multi-level 2-D inverse wavelet transform (``pywt.waverec2``), the inverse of `wavedec2`.

    Args:
        coeffs: ``[cA_n, (cH_n, cV_n, cD_n), ..., (cH_1, cV_1, cD_1)]``. A None in the place of a
            detail, or of a level's three details, stands for zeros.
        wavelet: Name of an orthogonal or biorthogonal wavelet of PyWavelets.
        mode: The mode of the decomposition.

    Returns:
        ``(..., H, W)``. As in PyWavelets, a side that was odd comes back one longer, with the
        original in front.

    Raises:
        TypeError: A coefficient is not a tensor.
        ValueError: Unknown wavelet or mode, no approximation, shapes that do not belong together,
            or that are too small for the wavelet.

    Examples:
        >>> x = torch.arange(16.0).view(1, 4, 4)
        >>> torch.allclose(waverec2(wavedec2(x, 'db2', level=1), 'db2'), x, atol=1e-5)
        True
    """
    bank = filter_bank(wavelet)
    _check_mode(mode)
    if not coeffs or not isinstance(coeffs[0], Tensor):
        raise ValueError('coeffs must begin with the approximation coefficients, a tensor')
    x = at_least_float32(coeffs[0], 'coefficients')
    # Where nothing is wrapped around, what is shorter than half a filter has no inverse.
    least = 1 if mode == 'periodization' else len(bank.dec_lo) // 2
    for details in coeffs[1:]:
        if isinstance(details, Tensor):
            raise ValueError('each level of details must be (cH, cV, cD) or None, got a tensor')
        given = [None] * 3 if details is None else list(details)
        if len(given) != 3:
            raise ValueError(f'each level has three details, cH, cV and cD; got {len(given)}')
        given = [None if d is None else at_least_float32(d, 'coefficients') for d in given]
        # The level below was odd, so its approximation came back one longer than its details.
        size = next((d.shape[-2:] for d in given if d is not None), x.shape[-2:])
        if x.ndim < 2 or len(size) < 2 or min(size) < least:
            raise ValueError(
                f'coefficients for {wavelet!r} must be of shape (..., {least}, {least}) or larger '
                f'with mode {mode!r}, got {tuple(x.shape)} with details of {tuple(size)}'
            )
        x = x[..., : size[0], : size[1]]
        filled = [torch.zeros_like(x) if d is None else d for d in given]
        if any(d.shape != x.shape for d in filled):
            raise ValueError(
                f'coefficients of one level differ in shape: approximation {tuple(x.shape)}, '
                f'details {[tuple(d.shape) for d in filled]}'
            )
        x = _synthesis2(x, (filled[0], filled[1], filled[2]), bank, mode)
    return x


def _checked(x: Tensor, wavelet: str, mode: Mode) -> tuple[FilterBank, Tensor]:
    """Check the arguments of a decomposition; return the filters and the images as floats."""
    bank = filter_bank(wavelet)
    _check_mode(mode)
    x = at_least_float32(x)
    if x.ndim < 2 or 0 in x.shape[-2:]:
        raise ValueError(
            f'a wavelet decomposition needs images (..., H, W) of 1 x 1 or more, got '
            f'{tuple(x.shape)}'
        )
    return bank, x


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f'unknown mode {mode!r}; use one of {", ".join(MODES)}')


def _analysis2(x: Tensor, bank: FilterBank, mode: Mode) -> tuple[Tensor, Details]:
    """One level: ``(..., H, W)`` to the approximation and ``(cH, cV, cD)``."""
    if _is_haar(bank):
        return _haar_analysis2(x, mode)
    lo, hi = (_analysis(x, taps, mode, -1) for taps in (bank.dec_lo, bank.dec_hi))
    # cH is the detail across rows (dim -2): horizontal edges. cV is the detail across columns.
    approximation, horizontal = (
        _analysis(lo, taps, mode, -2) for taps in (bank.dec_lo, bank.dec_hi)
    )
    vertical, diagonal = (_analysis(hi, taps, mode, -2) for taps in (bank.dec_lo, bank.dec_hi))
    return approximation, (horizontal, vertical, diagonal)


def _synthesis2(x: Tensor, details: Details, bank: FilterBank, mode: Mode) -> Tensor:
    """Inverse of `_analysis2`, up to one more row or column where the side was odd."""
    if _is_haar(bank):
        return _haar_synthesis2(x, details)
    horizontal, vertical, diagonal = details
    lo = _synthesis(x, bank.rec_lo, mode, -2) + _synthesis(horizontal, bank.rec_hi, mode, -2)
    hi = _synthesis(vertical, bank.rec_lo, mode, -2) + _synthesis(diagonal, bank.rec_hi, mode, -2)
    return _synthesis(lo, bank.rec_lo, mode, -1) + _synthesis(hi, bank.rec_hi, mode, -1)


def _analysis(x: Tensor, taps: tuple[float, ...], mode: Mode, dim: int) -> Tensor:
    """Filter and keep every second value along one dimension.

    With ``F`` taps ``f``, ``out[o] = sum_j f[j] x[2 o + s - j]``, where ``s`` is 1, and ``F / 2``
    for ``'periodization'``. This is a sum of slices and no convolution, because float32 must stay
    float32: cuDNN would compute a convolution in TF32, and autocast in half precision.
    """
    size, length = x.shape[dim], len(taps)
    if mode == 'periodization':
        out, start = (size + 1) // 2, 1 - length // 2
    else:
        out, start = (size + length - 1) // 2, 2 - length
    x = _extend(x, start, start + 2 * (out - 1) + length, mode, dim)
    return _weighted_sum(
        (taps[length - 1 - k], _slice(x, dim, k, k + 2 * out - 1, 2)) for k in range(length)
    )


def _synthesis(c: Tensor, taps: tuple[float, ...], mode: Mode, dim: int) -> Tensor:
    """Insert zeros between the coefficients and filter, along one dimension.

    The even and the odd outputs are sums over the even and the odd taps (polyphase form):
    ``out[2 p + r] = sum_t taps[2 t + r] c[p + F / 2 - 1 - t]``.
    """
    size, half = c.shape[dim], len(taps) // 2
    if mode == 'periodization':
        c = _extend(c, -half, size + half, 'periodic', dim)
    count = c.shape[dim] - half + 1
    phases = [
        _weighted_sum(
            (taps[2 * t + r], _slice(c, dim, half - 1 - t, half - 1 - t + count))
            for t in range(half)
        )
        for r in (0, 1)
    ]
    out = torch.stack(phases, dim=dim if dim >= 0 else c.ndim + dim + 1)
    out = out.flatten(dim - 1, dim)
    if mode == 'periodization':
        out = _slice(out, dim, half + 1, half + 1 + 2 * size)
    return out


def _haar_analysis2(x: Tensor, mode: Mode) -> tuple[Tensor, Details]:
    """`_analysis2` for the Haar wavelet: sums and differences of strided views.

    With the mean ``m`` of ``a`` and ``b``, ``(a - b) / 2`` is ``a - m``: this saves one pass over
    the data, which would only scale it.
    """
    x = _even_sides(x, mode)
    left, right = x[..., 0::2], x[..., 1::2]
    subbands = []
    for part in (left + right, left - right):
        top, bottom = part[..., 0::2, :], part[..., 1::2, :]
        mean = torch.lerp(top, bottom, 0.5)
        subbands += [mean, top - mean]
    approximation, horizontal, vertical, diagonal = subbands
    return approximation, (horizontal, vertical, diagonal)


def _even_sides(x: Tensor, mode: Mode) -> Tensor:
    """The image with one more row or column where their number is odd."""
    height, width = x.shape[-2:]
    return _extend(_extend(x, 0, height + height % 2, mode, -2), 0, width + width % 2, mode, -1)


def _haar_synthesis2(x: Tensor, details: Details) -> Tensor:
    """Inverse of `_haar_analysis2`; the border mode does not matter to it."""
    horizontal, vertical, diagonal = details
    top_lo, bottom_lo = x + horizontal, x - horizontal
    top_hi, bottom_hi = vertical + diagonal, vertical - diagonal
    top = torch.stack([top_lo + top_hi, top_lo - top_hi], dim=-1).flatten(-2)  # (..., h, 2 w)
    bottom = torch.stack([bottom_lo + bottom_hi, bottom_lo - bottom_hi], dim=-1).flatten(-2)
    return torch.stack([top, bottom], dim=-2).flatten(-3, -2) * 0.5  # (..., 2 h, 2 w)


def _extend(x: Tensor, start: int, stop: int, mode: Mode, dim: int) -> Tensor:
    """The signal on the indices ``start ... stop - 1`` of one dimension, past its border."""
    size = x.shape[dim]
    if (start, stop) == (0, size):
        return x
    if mode == 'zero':
        pad = (-start, stop - size)
        return F.pad(x, pad if dim == -1 else (0, 0, *pad))
    index = torch.arange(start, stop, device=x.device)
    if mode == 'periodic':
        index = index % size
    elif mode == 'periodization':
        # An odd signal repeats its last sample once, then its period is even.
        index = (index % (size + size % 2)).clamp(max=size - 1)
    elif mode == 'symmetric':
        index = index % (2 * size)
        index = torch.minimum(index, 2 * size - 1 - index)
    else:  # reflect
        if size == 1:
            raise ValueError(
                "mode 'reflect' needs two samples a side at every level; use fewer levels"
            )
        index = index % (2 * size - 2)
        index = torch.minimum(index, 2 * size - 2 - index)
    return x.index_select(dim, index)


def _slice(x: Tensor, dim: int, start: int, stop: int, step: int = 1) -> Tensor:
    return x[..., start:stop:step] if dim == -1 else x[..., start:stop:step, :]


def _weighted_sum(terms: Iterable[tuple[float, Tensor]]) -> Tensor:
    total: Tensor | None = None
    for weight, term in terms:
        # Many biorthogonal filters are padded with zeros; skipping them costs nothing.
        if weight != 0.0:
            total = term * weight if total is None else torch.add(total, term, alpha=weight)
    assert total is not None, 'a filter of zeros'
    return total
