"""Masks and filters over the 2-D spectrum of real images (MFM, arXiv 2206.07706).

A mask covers the *centred* spectrum, ``(H, W)`` with frequency 0 at ``(H // 2, W // 2)``, as
``torch.fft.fftshift`` puts it, and is True where a frequency is kept. A real image has conjugate
values at ``k`` and ``-k``, so that everything here is computed on the half of the spectrum that
``torch.fft.rfft2`` returns: ``(H, W // 2 + 1)``, not centred.
"""

import math

import torch
from torch import Tensor

from .precision import at_least_float32

__all__ = [
    'filter_spectrum',
    'fold_mask',
    'frequency_filter',
    'low_pass_mask',
    'pair_counts',
]


def low_pass_mask(
    size: tuple[int, int], radius: float, device: torch.device | None = None
) -> Tensor:
    """Circle around frequency 0 of the centred spectrum.

    Args:
        size: ``(H, W)``, 1 or more each.
        radius: In steps of frequency, 0 or more.
        device: Where the mask is made.

    Returns:
        ``(H, W)`` bool, True where the distance to ``(H // 2, W // 2)`` is under ``radius``. Its
        negation is the high-pass mask of the same radius.

    Raises:
        ValueError: The radius is negative or not finite, or a side is under 1.

    Examples:
        >>> low_pass_mask((4, 4), 1.5).int().tolist()
        [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]
    """
    if not 0 <= radius < math.inf:
        raise ValueError(f'low_pass_mask: radius must be 0 or more and finite, got {radius}')
    if min(size) < 1:
        raise ValueError(f'low_pass_mask: the sides must be 1 or more, got {tuple(size)}')
    # Beyond their sum a circle holds all; its square could be too large for a number.
    radius = min(radius, sum(size))
    rows, columns = (torch.arange(side, device=device) - side // 2 for side in size)
    # Squared distances are whole numbers: one is below radius**2 exactly if below its ceiling. The
    # square of a tiny radius is 0, and the circle still holds its centre.
    return (rows[:, None] ** 2 + columns**2) < max(math.ceil(radius**2), radius > 0)


def frequency_filter(x: Tensor, mask: Tensor) -> Tensor:
    """Keep some frequencies of images (MFM, section 3.2): the real part, clamped to [0, 1].

    Args:
        x: ``(N, C, H, W)`` images in [0, 1]; float64 is computed in float64, all else in float32.
        mask: ``(H, W)`` or ``(N, H, W)`` bool over the centred spectrum, True where kept.

    Returns:
        ``(N, C, H, W)`` in [0, 1], float64 or float32.

    Raises:
        ValueError: The mask is not boolean or does not fit the images, or these are not
            ``(N, C, H, W)`` with a pixel, or complex.

    Frequency 0 alone leaves the mean, as the example shows.

    Examples:
        >>> x = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
        >>> frequency_filter(x, low_pass_mask((2, 2), 1)).tolist()
        [[[[0.5, 0.5], [0.5, 0.5]]]]
    """
    return filter_spectrum(x, mask).clamp(0, 1)


def filter_spectrum(x: Tensor, mask: Tensor) -> Tensor:
    """The same as `frequency_filter` without the clamp, which makes it linear in ``x``."""
    x = at_least_float32(x)
    if x.ndim != 4 or 0 in x.shape[-2:]:
        raise ValueError(f'images must be (N, C, H, W) with a pixel or more, got {tuple(x.shape)}')
    check_mask(mask, len(x), x.shape[-2:])
    weights = fold_mask(mask, x.dtype).unsqueeze(-3)  # one for all channels
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * weights, s=x.shape[-2:])
    return filtered


def check_mask(mask: Tensor, batch: int, size: tuple[int, ...]) -> None:
    """Raise ValueError unless the mask is boolean and fits spectra of this number and size."""
    shapes = (tuple(size), (batch, *size))
    if mask.dtype != torch.bool or mask.shape not in shapes:
        raise ValueError(
            f'a mask for {batch} spectra of {size[0]} x {size[1]} must be boolean of shape '
            f'{shapes[0]} or {shapes[1]}, got {mask.dtype} {tuple(mask.shape)}'
        )


def fold_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights on the half spectrum that do what a mask does on the whole one.

    The weight of a frequency is the mean of the mask at ``k`` and at ``-k``: the real part of an
    inverse transform averages the two. It is 1/2 where the mask differs at the two, and always 0
    or 1 for circles, which are symmetric. (The row at ``-H / 2`` of a side of even length is its
    own partner.)

    Args:
        mask: ``(..., H, W)`` bool over the centred spectrum.
        dtype: Of the weights.

    Returns:
        ``(..., H, W // 2 + 1)``, not centred.

    In the example, of the frequencies -2, -1, 0 and 1, the mask keeps 0 and 1, so that 1 and -1 get
    half each.

    Examples:
        >>> fold_mask(torch.tensor([[False, False, True, True]]), torch.float32).tolist()
        [[1.0, 0.5, 0.0]]
    """
    whole: Tensor = torch.fft.ifftshift(mask, dim=(-2, -1)).to(dtype)
    opposite = whole.flip((-2, -1)).roll((1, 1), (-2, -1))
    return ((whole + opposite) / 2)[..., : mask.shape[-1] // 2 + 1]


def pair_counts(width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How many columns of the whole spectrum each column of the half spectrum represents.

    Returns ``(W // 2 + 1)`` counts: 2 for a column with a conjugate one in the other half; 1 for
    column 0 and, where the width is even, for the last one.

    Examples:
        >>> pair_counts(4, torch.int64, torch.device('cpu')).tolist()
        [1, 2, 1]
        >>> pair_counts(5, torch.int64, torch.device('cpu')).tolist()
        [1, 2, 2]
    """
    columns = torch.arange(width // 2 + 1, device=device)
    return torch.where((2 * columns) % width == 0, 1, 2).to(dtype)
