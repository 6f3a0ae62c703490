"""Outlines for the built-in scenes: closed shapes, where they lie, and which part of them shows."""

import math
from typing import NamedTuple

import numpy as np

from .textures import TAU, grid

__all__ = ['SHAPES', 'Outline', 'arc', 'outline', 'visible_parts']

#: The families of shapes.
SHAPES = ('cross', 'pebble', 'ring', 'star')


class Outline(NamedTuple):
    """A closed curve on the image.

    Attributes:
        depth: `(size, size)` float32: about how many pixels inside the curve a pixel's centre lies,
            negative outside.
        u, v: `(size, size)` float32: coordinates about the shape's centre, along the image's x and
            y, about [-1, 1] inside.
    """

    depth: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @property
    def alpha(self) -> np.ndarray:
        """The covered part of each pixel, `(size, size)` float32 in [0, 1]."""
        return np.clip(self.depth + 0.5, 0, 1)

    @property
    def mask(self) -> np.ndarray:
        """The pixels at least half covered, `(size, size)` bool."""
        return self.depth >= 0


def _pixels_inside(level: np.ndarray) -> np.ndarray:
    """Turn a function that is positive inside a curve into about the distance to it in pixels."""
    slope_y, slope_x = np.gradient(level)
    return level / np.maximum(np.hypot(slope_x, slope_y), 1e-3)


def _level(rng: np.random.Generator, name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Draw a member of a family: positive inside, negative outside, radius 1 about the origin."""
    if name == 'cross':
        width = rng.uniform(0.3, 0.4)
        a, b = np.abs(u), np.abs(v)
        return np.minimum(width - np.minimum(a, b), 1 - np.maximum(a, b))
    radius, theta = np.hypot(u, v), np.arctan2(v, u)
    if name == 'pebble':
        wobble = sum(
            rng.uniform(0, 0.12) * np.cos(k * theta + rng.uniform(0, TAU)) for k in (2, 3, 4)
        )
        return 0.85 + wobble - radius
    if name == 'ring':
        inner = rng.uniform(0.4, 0.52)
        return (1 - inner) / 2 - np.abs(radius - (1 + inner) / 2)
    if name == 'star':
        points = int(rng.integers(5, 8))
        # 1 at a point, 0 in the notch between two
        height = np.abs((theta * points / TAU) % 1 - 0.5) * 2
        inner = rng.uniform(0.42, 0.52)
        return inner / (1 - (1 - inner) * height) - radius
    raise ValueError(f'outline: name must be one of {SHAPES}, got {name!r}')


def outline(
    rng: np.random.Generator, size: int, name: str, extent: float, overhang: float
) -> Outline:
    """Draw one of `SHAPES` with a random place, rotation and aspect.

    Args:
        rng: Where the randomness comes from.
        size: The image's side in pixels.
        name: The family.
        extent: The longer diameter, as a fraction of the image's side.
        overhang: How much of its diameter may lie outside the image.

    Raises:
        ValueError: `name` is not in `SHAPES`.
    """
    x, y = grid(size)
    margin = extent * (0.5 - overhang)
    u = (x - rng.uniform(margin, 1 - margin)) * (2 / extent)
    v = (y - rng.uniform(margin, 1 - margin)) * (2 / extent)
    angle = rng.uniform(0, TAU)
    cos, sin = math.cos(angle), math.sin(angle)
    aspect = rng.uniform(0.8, 1)
    # Rotated, squeezed across the first axis, and rotated again: the squeeze takes any direction.
    a, b = u * cos + v * sin, (v * cos - u * sin) / aspect
    turn = rng.uniform(0, TAU)
    cos, sin = math.cos(turn), math.sin(turn)
    level = _level(rng, name, a * cos + b * sin, b * cos - a * sin)
    return Outline(_pixels_inside(level).astype(np.float32), u, v)


def arc(rng: np.random.Generator, size: int) -> Outline:
    """Draw a thin curved stroke, clutter that belongs to no class."""
    x, y = grid(size)
    bend = rng.uniform(0.08, 0.4)
    angle = rng.uniform(0, TAU)
    # The circle's centre lies one radius from the stroke's middle, which lies in the image.
    u = x - (rng.uniform(0, 1) - bend * math.cos(angle))
    v = y - (rng.uniform(0, 1) - bend * math.sin(angle))
    across = rng.uniform(0.006, 0.016) - np.abs(np.hypot(u, v) - bend)
    turn = np.abs((np.arctan2(v, u) - angle + TAU / 2) % TAU - TAU / 2)
    along = rng.uniform(0.05, 0.15) - turn * bend
    depth = np.minimum(across, along) * size
    return Outline(depth.astype(np.float32), u, v)


def visible_parts(masks: list[np.ndarray]) -> list[np.ndarray]:
    """Cut from every mask what the later ones hide.

    Args:
        masks: `(size, size)` bool each, from back to front.
    """
    hidden = np.zeros_like(masks[0])
    parts = []
    for mask in reversed(masks):
        parts.append(mask & ~hidden)
        hidden |= mask
    return parts[::-1]
