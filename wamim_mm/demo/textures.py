"""Textures for the built-in scenes: materials of the backgrounds, patterns of the objects.

A field is a `(size, size)` float32 array. Lengths are fractions of the image's side, so that a
scene looks the same at every size.
"""

import math
from functools import lru_cache

import numpy as np

__all__ = ['MATERIALS', 'PATTERNS', 'background', 'grid', 'material', 'noise', 'pattern', 'tone']

#: What backgrounds are made of.
MATERIALS = ('bricks', 'clouds', 'grass', 'gravel', 'sand', 'wood')
#: What objects are covered with.
PATTERNS = ('dotted', 'mottled', 'striped')

TAU = 2 * math.pi


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel centres' `x` and `y` in (0, 1): `(size, size)` float32, read-only."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(line, line, indexing='ij')
    x.flags.writeable = y.flags.writeable = False
    return x, y


@lru_cache(maxsize=4)
def _frequencies(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cycles a side along x `(1, size // 2 + 1)` and along y `(size, 1)`."""
    fx = np.fft.rfftfreq(size, 1 / size).astype(np.float32)[None, :]
    fy = np.fft.fftfreq(size, 1 / size).astype(np.float32)[:, None]
    return fx, fy


def _standardize(field: np.ndarray) -> np.ndarray:
    return (field - field.mean()) / (field.std() + 1e-6)


def noise(
    rng: np.random.Generator,
    size: int,
    slope: float,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> np.ndarray:
    """Draw Gaussian noise whose amplitude falls as `1 / f**slope`.

    Args:
        rng: Where the randomness comes from.
        size: Side in pixels.
        slope: 1 for the spectrum of natural images, 0 for white noise.
        stretch: How many times longer than wide its features are.
        angle: The direction that they are stretched in, in radians.

    Returns:
        `(size, size)` float32, zero mean, unit variance.
    """
    fx, fy = _frequencies(size)
    cos, sin = math.cos(angle), math.sin(angle)
    along = stretch * (fx * cos + fy * sin)
    across = fy * cos - fx * sin
    power = along**2 + across**2
    power[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    field = np.fft.irfft2(spectrum * power ** (-slope / 2), s=(size, size))
    return _standardize(field.astype(np.float32))


def _rotated(rng: np.random.Generator, size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates turned by `angle`, with a random origin."""
    x, y = grid(size)
    cos, sin = math.cos(angle), math.sin(angle)
    u = x * cos + y * sin
    v = y * cos - x * sin
    return u + rng.random(), v + rng.random()


def _waves(x: np.ndarray) -> np.ndarray:
    return np.cos(TAU * x)


def pattern(rng: np.random.Generator, size: int, name: str) -> np.ndarray:
    """Draw one of `PATTERNS` with a random scale, direction and irregularity.

    Only the order of the values means anything: objects replace them by their rank, so that the
    histogram of an object says nothing about its pattern.

    Returns:
        `(size, size)` float32, any range.

    Raises:
        ValueError: `name` is not in `PATTERNS`.
    """
    if name == 'mottled':
        return noise(rng, size, slope=rng.uniform(1.2, 1.6))
    period = rng.uniform(0.07, 0.11)
    warp = rng.uniform(0.1, 0.3) * period
    u, v = _rotated(rng, size, rng.uniform(0, TAU))
    u = u + warp * noise(rng, size, slope=2)
    v = v + warp * noise(rng, size, slope=2)
    if name == 'striped':
        return _waves(u / period)
    if name == 'dotted':  # three waves at 60 degrees: a triangular lattice of bumps
        h = math.sqrt(3) / 2
        first, second, third = (_waves(w / period) for w in (u, u / 2 + h * v, u / 2 - h * v))
        return first + second + third
    raise ValueError(f'pattern: name must be one of {PATTERNS}, got {name!r}')


def _cells(rng: np.random.Generator, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi diagram of about `count * count` cells, as two values for every pixel.

    Returns:
        `(size, size)` each: how much nearer the pixel's own seed is than the next one, in cells;
        and the random value of its cell, in [0, 1).
    """
    x, y = (count * c for c in grid(size))
    column, row = x.astype(np.intp), y.astype(np.intp)
    # One seed in each square of a grid: the nearest two are then among the 3 x 3 squares around.
    jitter_x, jitter_y, value = rng.random((3, count + 2, count + 2), dtype=np.float32)
    nearest: np.ndarray = np.full((size, size), np.inf, dtype=np.float32)
    second: np.ndarray = nearest.copy()
    shade: np.ndarray = np.zeros((size, size), dtype=np.float32)
    for i in range(3):
        for j in range(3):
            at = (row + i, column + j)
            dx = x - (column + j - 1 + jitter_x[at])
            dy = y - (row + i - 1 + jitter_y[at])
            distance = np.hypot(dx, dy)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            shade = np.where(closer, value[at], shade)
            nearest = np.where(closer, distance, nearest)
    return second - nearest, shade


def _bricks(rng: np.random.Generator, size: int) -> np.ndarray:
    u, v = _rotated(rng, size, rng.normal(0, 0.1) + rng.integers(2) * np.pi / 2)
    height = rng.uniform(0.09, 0.16)
    length = height * rng.uniform(1.6, 2.4)
    v = (v + 2) / height  # + 2: a turned corner may lie below 0
    row = v.astype(np.intp)
    u = (u + 2) / length + 0.5 * (row % 2)
    column = u.astype(np.intp)
    du, dv = u - column, v - row
    edge = np.minimum(np.minimum(du, 1 - du) * length, np.minimum(dv, 1 - dv) * height)
    mortar = np.clip(1 - edge / 0.012, 0, 1)
    shade = rng.random((64, 64), dtype=np.float32)[row % 64, column % 64]
    return shade - 1.2 * mortar + 0.35 * noise(rng, size, slope=0.8)


def _gravel(rng: np.random.Generator, size: int) -> np.ndarray:
    border, shade = _cells(rng, size, int(rng.integers(7, 13)))
    return shade + np.minimum(border * 3, 1) + 0.25 * noise(rng, size, slope=0.8)


def _sand(rng: np.random.Generator, size: int) -> np.ndarray:
    u, _ = _rotated(rng, size, rng.uniform(0, TAU))
    ripples = _waves(u / rng.uniform(0.1, 0.18) + 0.35 * noise(rng, size, slope=2))
    return ripples + 0.5 * noise(rng, size, slope=0.5)


def _wood(rng: np.random.Generator, size: int) -> np.ndarray:
    angle = rng.uniform(0, TAU)
    _, v = _rotated(rng, size, angle)
    bend = noise(rng, size, slope=2, stretch=4, angle=angle)
    rings = (v / rng.uniform(0.12, 0.2) + 0.6 * bend) % 1
    return rings + 0.35 * noise(rng, size, slope=1, stretch=12, angle=angle)


def material(rng: np.random.Generator, size: int, name: str) -> np.ndarray:
    """Draw one of `MATERIALS` with a random scale and direction.

    Returns:
        `(size, size)` float32, zero mean, unit variance.

    Raises:
        ValueError: `name` is not in `MATERIALS`.
    """
    if name == 'bricks':
        field = _bricks(rng, size)
    elif name == 'clouds':
        field = noise(rng, size, slope=rng.uniform(1.2, 1.6))
    elif name == 'grass':
        field = noise(rng, size, slope=0.9, stretch=rng.uniform(4, 7), angle=rng.uniform(0, TAU))
    elif name == 'gravel':
        field = _gravel(rng, size)
    elif name == 'sand':
        field = _sand(rng, size)
    elif name == 'wood':
        field = _wood(rng, size)
    else:
        raise ValueError(f'material: name must be one of {MATERIALS}, got {name!r}')
    return _standardize(field).astype(np.float32)


def muted(colours: np.ndarray) -> np.ndarray:
    """Draw colours `(..., 3)` towards their grey: natural images vary more in light than in hue."""
    grey = colours.mean(axis=-1, keepdims=True)
    return (grey + 0.5 * (colours - grey)).astype(np.float32)


def background(rng: np.random.Generator, size: int, name: str) -> np.ndarray:
    """Draw one of `MATERIALS` in random colours.

    Returns:
        `(size, size, 3)` float32, about [0, 1].
    """
    base = muted(rng.uniform(0.2, 0.8, 3))
    # One material holds shades of one colour; a second, smoother field tints it here and there.
    shade = (rng.uniform(0.06, 0.14) * rng.uniform(0.7, 1.3, 3)).astype(np.float32)
    tint = rng.normal(0, 0.04, 3).astype(np.float32)
    field = material(rng, size, name)
    return base + field[..., None] * shade + noise(rng, size, slope=1.5)[..., None] * tint


def tone(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Turn a pattern's values into a mixture of two colours, by their rank alone.

    Args:
        rng: Draws the share of either colour, and how sharply they meet.
        values: `(N,)`, any range.

    Returns:
        `(N,)` float32 in [0, 1]; its histogram does not depend on `values`.
    """
    rank = np.empty(len(values), dtype=np.float32)
    rank[np.argsort(values, kind='stable')] = np.linspace(0, 1, len(values), dtype=np.float32)
    mixture = 1 / (1 + np.exp(rng.uniform(12, 40) * (rng.uniform(0.45, 0.6) - rank)))
    return mixture if rng.random() < 0.5 else 1 - mixture
