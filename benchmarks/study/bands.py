"""Write the package's bands of healthy losses from the study's records.

python -m benchmarks.study.bands

A band holds what the losses of all finished WaMIM runs were, whatever their seed, learning rate and
length, wherever two of them or more had seen so many images.
"""

import json
import math
from itertools import pairwise
from pathlib import Path

from wamim_mm.evaluation.healthy_losses import BANDS

from . import records
from .found import CONTENDER, Found
from .page import ROOT
from .plan import BUDGETS, load

POINTS_PER_OCTAVE = 2
#: Normalization of the targets -> the method of each encoder that has it.
MEASURED = {
    'subband': {'vit': 'study/wamim-subband_vit', 'swin': 'study/wamim-subband_swin'},
    'block': CONTENDER,
}
MASK_UNITS = {'vit': 4, 'swin': 8}  # pixels, of the study's encoders


def unweighted(record: dict) -> list[tuple[int, dict[int, float]]]:
    """Images seen and each level's loss without its weight, along a run."""
    model = load(record['config']).model
    weights = dict(zip(model.target_generator.levels, model.head.loss_weights, strict=True))
    return [
        (seen, {level: losses[f'loss_level{level}'] / weights[level] for level in weights})
        for seen, losses in record['curve']
    ]


def value(curve: list[tuple[int, dict[int, float]]], level: int, images: float) -> float | None:
    """A curve's loss after so many images, between its points; None outside."""
    for (seen, before), (later, after) in pairwise(curve):
        if seen <= images <= later:
            part = (images - seen) / (later - seen)
            return before[level] + part * (after[level] - before[level])
    return None


def band(curves: list[list[tuple[int, dict[int, float]]]], level: int) -> dict[str, list[float]]:
    """Lowest and highest of the curves on a logarithmic grid of images."""
    found: dict[str, list[float]] = dict(images=[], low=[], high=[])
    last = max(curve[-1][0] for curve in curves)
    for step in range(int(POINTS_PER_OCTAVE * math.log2(last)) + 1):
        images = 2 ** (step / POINTS_PER_OCTAVE)
        losses = [v for curve in curves if (v := value(curve, level, images)) is not None]
        if len(losses) > 1:
            found['images'].append(round(images))
            found['low'].append(round(min(losses), 3))
            found['high'].append(round(max(losses), 3))
    return found


def bands(results: Path) -> dict:
    """What the package's file holds."""
    found = Found(BUDGETS['cpu'], results)
    made: dict[str, dict[str, dict]] = {}
    for norm, configs in MEASURED.items():
        made[norm] = {}
        for encoder, config in configs.items():
            curves = [
                unweighted(record)
                for record in found.done.values()
                if record['kind'] == 'pretraining'
                and record['config'] == config
                # A few images can be learned by heart.
                and 'images' not in record
            ]
            levels = load(config).model.target_generator.levels
            unit = MASK_UNITS[encoder]
            made[norm][encoder] = {
                str(level - (unit.bit_length() - 1)): band(curves, level)
                for level in (levels if curves else ())
            }
    return dict(
        source='docs/study.md: WaMIM on CIFAR-10, by python -m benchmarks.study.bands',
        bands=made,
    )


def text(results: Path = ROOT / records.RESULTS) -> str:
    """The file's text."""
    return json.dumps(bands(results), indent=1) + '\n'


if __name__ == '__main__':
    BANDS.write_text(text())
    print(f'wrote {BANDS.relative_to(ROOT)}')
