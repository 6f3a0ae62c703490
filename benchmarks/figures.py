"""Draw the figures of docs/method.md and docs/mfm.md with the package's own functions.

    python -m benchmarks.figures [--out docs/images]

The photograph is of Chelsea the cat, by Stefan van der Walt, CC0. scikit-image brings it along, and
is in the environment that `make` creates. The numbers of blocks, tokens and coefficients are those
of the models in configs/pretrain.
"""

import argparse
import math
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pywt
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from wamim_mm import FrequencyFilter, WaMIM, WaveletTargetGenerator
from wamim_mm.cli.checks import read_config
from wamim_mm.cli.curves import as_png, pyplot
from wamim_mm.evaluation.models import build_model
from wamim_mm.evaluation.reconstructions import hidden_pixels, modulus
from wamim_mm.ops import random_mask, wavedec2
from wamim_mm.ops.masking import visible_patches, visible_units

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / 'docs/images'
SIDE = 224
DEPTH = 5
ENCODERS = {'ViT-B/16': 'wamim_vit-b.py', 'Swin-T': 'wamim_swin-t.py'}
#: Of the four pairs of a feature and a level, finest first.
COLOURS = ('#4477aa', '#228833', '#b35900', '#aa3377')
GREY = '#dddddd'
TEXT = 9


def photograph() -> Tensor:
    """``(1, 3, 224, 224)`` in [0, 1]: the cat's face."""
    face = Image.fromarray(skimage.data.chelsea()).crop((80, 0, 380, 300))
    pixels = np.array(face.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


@cache
def models() -> dict[str, WaMIM]:
    """The two encoders with their decoders, at random initialization."""
    folder = ROOT / 'configs/pretrain'
    return {name: build_model(read_config(str(folder / file))) for name, file in ENCODERS.items()}


def show(axis: Any, picture: Tensor, title: str = '') -> None:
    """A ``(C, H, W)`` picture in [0, 1], grey or in colour."""
    pixels = picture.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)
    axis.imshow(pixels.numpy(), interpolation='nearest')
    axis.set_title(title, fontsize=TEXT)
    axis.axis('off')


def wavelets() -> Any:
    """The image, its transform as nested squares, and the targets of the four levels."""
    image = photograph()
    figure = pyplot().figure(figsize=(10, 5.6), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.7))
    above, below = left.subplots(2, 1)
    show(above, image[0], 'image')
    transform, slices = nested_squares(image)
    show(below, transform, f'its Haar transform of {DEPTH} levels')
    for places in slices[1:]:
        rows, columns = places['dd'][1:]
        below.hlines(rows.start - 0.5, 0, columns.stop - 1, color='white', linewidth=0.8)
        below.vlines(columns.start - 0.5, 0, rows.stop - 1, color='white', linewidth=0.8)
    for key, name in (('da', 'cH'), ('ad', 'cV'), ('dd', 'cD')):
        rows, columns = slices[-1][key][1:]
        below.text(
            (columns.start or 0) + 5,
            (rows.start or 0) + 6,
            f'level 1, {name}',
            va='top',
            fontsize=7,
            bbox=dict(facecolor='white', edgecolor='none', pad=1.5),
        )

    generator = WaveletTargetGenerator()
    axes = right.subplots(len(generator.subbands), len(generator.levels))
    for column, (level, target) in enumerate(zip(generator.levels, generator(image), strict=True)):
        height, width = target.shape[-2:]
        for row, (name, subband) in enumerate(
            zip(generator.subbands, target[0].split(image.shape[1]), strict=True)
        ):
            show(axes[row, column], as_grey(subband))
            if column == 0:
                place = dict(xycoords='axes fraction', ha='right', va='center')
                axes[row, 0].annotate(name, (-0.06, 0.5), fontsize=TEXT, **place)
        axes[0, column].set_title(f'level {level}: {height} x {width}', fontsize=TEXT)
    right.suptitle('the targets: coefficients, normalized', fontsize=TEXT)
    return figure


def as_grey(target: Tensor) -> Tensor:
    """Grey for 0; black and white for 2.5 standard deviations."""
    return 0.5 + target / 5


def nested_squares(image: Tensor) -> tuple[Tensor, list]:
    """``(3, H, W)``: our coefficients as PyWavelets arranges them, and its slices of the subbands.

    The approximation is scaled to [0, 1]. In the details grey is 0, each subband on its own scale.
    """
    approximation, *details = wavedec2(image, 'haar', level=DEPTH)
    scaled = [
        tuple((0.5 + 0.5 * x[0] / x.abs().flatten().quantile(0.98)).numpy() for x in three)
        for three in details
    ]
    corner = (approximation[0] / 2**DEPTH).numpy()
    array, slices = pywt.coeffs_to_array([corner, *scaled], axes=(1, 2))
    return torch.from_numpy(array), slices


def masks() -> Any:
    """What is hidden of the image, and what the encoder gets, for a ViT and a Swin."""
    image = photograph()
    figure, axes = pyplot().subplots(1, 4, figsize=(10, 3), layout='constrained')
    for (name, model), (whole, packed) in zip(models().items(), axes.reshape(2, 2), strict=True):
        unit, patch = model.backbone.mask_unit, model.backbone.feature_strides[0]
        mask = random_mask(
            len(image),
            model.backbone.mask_grid(SIDE, SIDE),
            model.mask_ratio,
            torch.Generator().manual_seed(0),
        )
        seen = image.masked_fill(hidden_pixels(mask, image), 0.75)
        show(whole, seen[0], f'{name}: mask units\nof {unit} x {unit} pixels')
        for edge in range(unit, SIDE, unit):
            whole.axvline(edge - 0.5, color='white', linewidth=0.5)
            whole.axhline(edge - 0.5, color='white', linewidth=0.5)

        units = visible_units(mask)
        count = units.shape[1]
        tokens = visible_patches(image, units, unit, patch).shape[1]
        show(
            packed,
            sheet(visible_patches(image, units, unit, unit).view(count, 3, unit, unit)),
            f'visible: {count} of {mask.numel()} units,\n'
            f'{tokens} of {(SIDE // patch) ** 2} tokens of {patch} x {patch}',
        )
    return figure


def sheet(tiles: Tensor) -> Tensor:
    """``(N, 3, side, side)`` tiles in the rows of a square, with white between them."""
    count, _, side, _ = tiles.shape
    columns = math.ceil(count**0.5)
    padded = torch.nn.functional.pad(tiles, [side // 16] * 4, value=1)
    blank = padded.new_ones(columns**2 - count, *padded.shape[1:])
    grid = torch.cat([padded, blank]).unflatten(0, (columns, columns))
    return grid.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def levels() -> Any:
    """Which block of an encoder feeds which decoder, and the level that this one predicts."""
    targets = WaveletTargetGenerator()(photograph())
    figure, axes = pyplot().subplots(1, 2, figsize=(10, 4), layout='constrained')
    for axis, (name, model) in zip(axes, models().items(), strict=True):
        stages, decoded = blocks(model)
        # Where a block stands; a stage's blocks stand together.
        place = {block: block + 0.6 * i for i, stage in enumerate(stages) for block in stage}
        last = place[stages[-1][-1]]
        for block, x in place.items():
            colour = COLOURS[decoded.index(block)] if block in decoded else GREY
            box(axis, (x, 0), (0.84, 0.7), str(block), colour)
        axis.text(-0.1, 0, 'blocks', ha='right', va='center', fontsize=8)
        strides = sorted(set(model.backbone.feature_strides))
        for stage, stride in zip(stages, strides, strict=True):
            axis.text(
                (place[stage[0]] + place[stage[-1]]) / 2,
                -0.75,
                f'tokens of\n{stride} x {stride} pixels',
                ha='center',
                va='top',
                fontsize=8,
            )
        columns = np.linspace(2, last - 1, len(decoded))
        width = 0.92 * (columns[1] - columns[0])
        for i, (block, x) in enumerate(zip(decoded, columns, strict=True)):
            high, wide = model.neck.decoders[i].grid
            arrow(axis, (place[block], 0.4), (x, 1.6), COLOURS[i])
            box(axis, (x, 2.1), (width, 1), f'decoder on\n{high} x {wide} tokens', COLOURS[i])
            arrow(axis, (x, 2.65), (x, 3.5), COLOURS[i])
            picture = axis.inset_axes([x - 1.2, 3.55, 2.4, 1.9], transform=axis.transData)
            show(picture, as_grey(targets[i][0, :3]))  # the approximation
            channels, high, wide = targets[i].shape[1:]
            level = f'level {model.target_generator.levels[i]}\n{high} x {wide} x {channels}'
            axis.text(x, 5.5, level, ha='center', va='bottom', fontsize=8, color=COLOURS[i])
        axis.set_title(name, fontsize=11)
        axis.set_xlim(-1.5, last + 1)
        axis.set_ylim(-1.9, 6.6)
        axis.axis('off')
    return figure


def blocks(model: WaMIM) -> tuple[list[range], list[int]]:
    """The encoder's blocks, counted from 1, stage by stage; and those that are decoded."""
    encoder = model.backbone
    if not hasattr(encoder, 'depths'):  # a ViT is one stage, and names blocks
        return [range(1, encoder.num_layers + 1)], [index + 1 for index in encoder.out_indices]
    ends = [sum(encoder.depths[:i]) for i in range(len(encoder.depths) + 1)]
    stages = [range(first + 1, last + 1) for first, last in pairwise(ends)]
    return stages, [stages[index][-1] for index in encoder.out_indices]


def box(
    axis: Any, centre: tuple[float, float], size: tuple[float, float], text: str, colour: str
) -> None:
    """A filled rectangle with text in it."""
    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    axis.add_patch(pyplot().Rectangle(corner, *size, facecolor=colour))
    ink = 'black' if colour == GREY else 'white'
    axis.text(*centre, text, ha='center', va='center', fontsize=7.5, color=ink)


def arrow(axis: Any, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """From a start to an end."""
    axis.annotate('', end, start, arrowprops=dict(arrowstyle='-|>', color=colour, linewidth=1.2))


def frequencies() -> Any:
    """The image and its spectrum; for either filter what it keeps, and what the loss covers."""
    image = photograph()
    figure, axes = pyplot().subplots(2, 5, figsize=(10, 4.5), layout='constrained')
    spectrum = modulus(image)

    def centre(part: Tensor) -> Tensor:
        """The frequencies up to a half of the highest."""
        return part[..., SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]

    def brightness(modulus: Tensor) -> Tensor:
        """Five decades from black to white, which is the image's largest frequency."""
        return centre(1 + (modulus / spectrum.max()).clamp(min=1e-5).log10() / 5)

    show(axes[0, 0], image[0], 'image')
    show(axes[1, 0], brightness(spectrum[0]), 'its spectrum')
    # One draw below the probability to keep the low frequencies, and one above.
    draws = torch.tensor([0.0, 0.9])
    filtered, kept = FrequencyFilter(radius=16)(image.expand(2, -1, -1, -1), draws)
    blue = torch.tensor([0.3, 0.45, 0.8])[:, None, None]
    for row, (name, gain) in enumerate((('low', 1), ('high', 3))):
        brighter = f', {gain} times as bright' if gain > 1 else ''
        show(axes[row, 1], centre(kept[row][None].float()), f'filter: keep {name} frequencies')
        show(axes[row, 2], filtered[row] * gain, f'filtered{brighter}')
        show(axes[row, 3], brightness(modulus(filtered)[row]), 'its spectrum')
        covered = brightness(spectrum[0]).where(~centre(kept[row]), blue)
        show(axes[row, 4], covered, 'the loss: all but blue')
    return figure


def as_small_png(figure: Any) -> bytes:
    """The picture in 256 colours, a third of the bytes."""
    buffer = BytesIO()
    picture = Image.open(BytesIO(as_png(figure))).convert('RGB')
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(
        buffer, 'png', optimize=True
    )
    return buffer.getvalue()


#: File -> what draws it.
FIGURES = {
    'wavelets.png': wavelets,
    'masks.png': masks,
    'levels.png': levels,
    'frequencies.png': frequencies,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Draw the figures of docs/method.md and docs/mfm.md.'
    )
    parser.add_argument('--out', type=Path, default=IMAGES, metavar='DIR', help='where to')
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        (out / name).write_bytes(as_small_png(draw()))
        print(out / name)


if __name__ == '__main__':
    main()
