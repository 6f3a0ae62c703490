"""The built-in scenes: textured objects, shadows and clutter on a textured background."""

import math
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from .shapes import SHAPES, Outline, arc, outline, visible_parts
from .textures import MATERIALS, PATTERNS, TAU, background, grid, muted, noise, pattern, tone

__all__ = ['CLASSES', 'LABELS', 'VERSION', 'Scene', 'draw_scene']

#: Raise it when the same seed no longer gives the same scenes.
VERSION = 1

#: The names of the objects, sorted: `CLASSES[i]` is `PATTERNS[i // 4]` on `SHAPES[i % 4]`.
CLASSES = tuple(f'{p}_{s}' for p, s in product(PATTERNS, SHAPES))
#: What a label map tells apart: `LABELS[i]` is drawn as `i + 1`.
LABELS = CLASSES + MATERIALS


class Scene(NamedTuple):
    """A picture and what is on it.

    Attributes:
        image: `(size, size, 3)` uint8, RGB.
        masks: `(N, size, size)` bool, N from 1 to 5: the visible part of every object, disjoint.
            The first belongs to the largest object.
        categories: N indices into `CLASSES`.
        material: Index into `MATERIALS`.
        clutter: `(size, size)` bool: strokes that belong to no class; disjoint from the masks.
    """

    image: np.ndarray
    masks: np.ndarray
    categories: tuple[int, ...]
    material: int
    clutter: np.ndarray

    def label_map(self) -> np.ndarray:
        """Return `(size, size)` uint8: `1 + index in LABELS`, 0 where there is clutter."""
        labels = np.full(self.clutter.shape, 1 + len(CLASSES) + self.material, dtype=np.uint8)
        labels[self.clutter] = 0
        for mask, category in zip(self.masks, self.categories, strict=True):
            labels[mask] = 1 + category
        return labels


class _Object(NamedTuple):
    category: int
    outline: Outline


def _place(rng: np.random.Generator, size: int, category: int) -> list[_Object]:
    """Choose the objects, from back to front: a large one of `category`, up to three small ones."""

    def new(category: int, low: float, high: float, overhang: float) -> _Object:
        shape = SHAPES[category % len(SHAPES)]
        return _Object(category, outline(rng, size, shape, rng.uniform(low, high), overhang))

    main = new(category, 0.55, 0.8, overhang=0.06)
    placed = [main]
    for _ in range(rng.integers(4)):
        other = new(int(rng.integers(len(CLASSES))), 0.18, 0.3, overhang=0.2)
        candidate = [*placed, other] if rng.random() < 0.5 else [other, *placed]
        masks = [o.outline.mask for o in candidate]
        shown = [part.sum() for part in visible_parts(masks)]
        largest = next(n for n, o in zip(shown, candidate, strict=True) if o is main)
        # Keep it if the main object stays the subject, and nothing is hidden beyond recognition.
        if all(
            n >= 0.75 * mask.sum() if o is main else 0.5 * mask.sum() <= n <= 0.6 * largest
            for n, mask, o in zip(shown, masks, candidate, strict=True)
        ):
            placed = candidate
    return placed


def _object_colours(rng: np.random.Generator, behind: np.ndarray, category: int) -> np.ndarray:
    """Draw two colours `(2, 3)` that differ in brightness from each other, and from `behind`.

    As in nature, a category leans to some hues, a third of the circle, which overlaps with those of
    others.
    """
    pairs = muted(rng.uniform(0.05, 0.95, (256, 2, 3)))
    between = np.abs(pairs[:, 0].mean(axis=1) - pairs[:, 1].mean(axis=1))
    mean = pairs.mean(axis=1)
    away = np.linalg.norm(mean - behind, axis=1)
    red, green, blue = mean.T
    hue = np.arctan2(math.sqrt(3) * (green - blue), 2 * red - green - blue)
    leaning = np.cos(hue - TAU * category / len(CLASSES)) > 0.5
    return pairs[np.argmax((between > 0.22) & (away > 0.2) & leaning)]


def _cast_shadow(image: np.ndarray, outline: Outline, light: tuple[float, float]) -> None:
    """Darken `image` beside an object, away from the `light` (a unit vector, x first)."""
    size = len(image)
    dx, dy = (round(0.03 * part * size) for part in light)
    rows = np.clip(np.arange(size) + dy, 0, size - 1)
    columns = np.clip(np.arange(size) + dx, 0, size - 1)
    depth = outline.depth[np.ix_(rows, columns)]
    image *= 1 - 0.45 * np.clip(0.5 + depth / (0.05 * size), 0, 1)[..., None]


def _paint(
    rng: np.random.Generator,
    image: np.ndarray,
    thing: _Object,
    behind: np.ndarray,
    light: tuple[float, float],
) -> None:
    """Paint an object over `image`, whose mean colour was `behind` before."""
    size = len(image)
    depth, u, v = thing.outline
    alpha = thing.outline.alpha
    inside = alpha > 0
    field = pattern(rng, size, PATTERNS[thing.category // len(SHAPES)])
    mixture = tone(rng, field[inside])[:, None]
    first, second = _object_colours(rng, behind, thing.category)
    colour = first + mixture * (second - first)
    # Lighter where it faces the light, darker towards its rim: it looks raised.
    facing = 0.22 * (u * light[0] + v * light[1])[inside]
    rim = 0.35 * np.exp(-np.maximum(depth[inside], 0) / (0.03 * size))
    rough = rng.uniform(0.05, 0.15) * noise(rng, size, slope=0.6)[inside]
    colour = colour * (1.05 + facing - rim + rough)[:, None]
    image[inside] += alpha[inside][:, None] * (colour - image[inside])


def draw_scene(rng: np.random.Generator, size: int = 128, category: int | None = None) -> Scene:
    """Draw one scene.

    Args:
        rng: Where all randomness comes from.
        size: Side in pixels.
        category: Index into `CLASSES` of the largest object; drawn from `rng` if None.

    Raises:
        ValueError: There is no such category.
    """
    if category is None:
        category = int(rng.integers(len(CLASSES)))
    if not 0 <= category < len(CLASSES):
        raise ValueError(f'category must lie from 0 to {len(CLASSES) - 1}; got {category}')
    # Half of the scenes show the category where it is at home, as cows stand on grass.
    home = category % len(MATERIALS)
    material = home if rng.random() < 0.5 else int(rng.integers(len(MATERIALS)))
    image = background(rng, size, MATERIALS[material])
    behind = image.mean(axis=(0, 1))

    clutter = np.zeros((size, size), dtype=bool)
    for _ in range(rng.integers(5)):
        stroke = arc(rng, size)
        colour = muted(rng.uniform(0.05, 0.95, 3))
        image += stroke.alpha[..., None] * (colour - image)
        clutter |= stroke.mask

    angle = rng.uniform(0, TAU)
    light = (math.cos(angle), math.sin(angle))
    objects = _place(rng, size, category)
    for thing in objects:
        _cast_shadow(image, thing.outline, light)
        _paint(rng, image, thing, behind, light)

    # The light falls off over the scene, towards one side and unevenly.
    x, y = grid(size)
    slope = (x - 0.5) * light[0] + (y - 0.5) * light[1]
    image *= 1 + rng.uniform(0.1, 0.5) * slope[..., None]
    image += rng.uniform(0.02, 0.05) * noise(rng, size, slope=1)[..., None]
    picture = Image.fromarray(np.clip(image * 255, 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.5)))
    grain = rng.uniform(1, 5) * rng.standard_normal((size, size, 3), dtype=np.float32)
    pixels = np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)

    parts = visible_parts([thing.outline.mask for thing in objects])
    order = np.argsort([-part.sum() for part in parts], kind='stable')
    masks = np.stack([parts[i] for i in order])
    return Scene(
        pixels,
        masks,
        tuple(objects[i].category for i in order),
        material,
        clutter & ~masks.any(axis=0),
    )
