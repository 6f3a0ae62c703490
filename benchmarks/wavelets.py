"""Wavelet transforms and WaMIM's targets beside PyWavelets, ptwt, pytorch_wavelets and a copy.

    python -m benchmarks.wavelets [--wavelet haar db2 ...] [--batch 32] [--device cuda]

*transform*: five levels of images 3 x 224 x 224. *targets*: all four subbands of levels 2 to 5,
normalized, as `WaveletTargetGenerator` gives them; the others go level by level, since only so they
yield the approximations in between, and are normalized in plain torch. *copy*: the images, cloned.

Borders are continued periodically. ptwt knows no periodization, so that for longer filters than
Haar's it computes a few coefficients more. PyWavelets runs on the CPU; on a GPU the way there and
back counts. Libraries that are not installed are left out.
"""

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pywt
import torch
from torch import Tensor

from benchmarks.measure import (
    DEVICES,
    OUT,
    aligned,
    alternate,
    environment,
    ratio,
    show_ratio,
    write,
)
from wamim_mm import WaveletTargetGenerator
from wamim_mm.ops import wavedec2

LEVELS = (2, 3, 4, 5)
DEPTH = max(LEVELS)
OURS = 'wamim_mm'
# pytorch_wavelets imports pkg_resources, which setuptools 81 dropped.
INSTALL = {'ptwt': 'ptwt', 'pytorch_wavelets': 'pytorch_wavelets "setuptools<81"'}

# Images and number of levels to [cA_n, (cH_n, cV_n, cD_n), ..., (cH_1, cV_1, cD_1)].
Transform = Callable[[Tensor, int], list]


def pywavelets(wavelet: str) -> Transform:
    def transform(x: Tensor, level: int) -> list:
        first, *details = pywt.wavedec2(x.cpu().numpy(), wavelet, 'periodization', level)
        to_torch = partial(torch.as_tensor, device=x.device)
        return [to_torch(first), *(tuple(map(to_torch, three)) for three in details)]

    return transform


def ptwt(wavelet: str) -> Transform:
    library = importlib.import_module('ptwt')
    return lambda x, level: library.wavedec2(x, wavelet, mode='periodic', level=level)


def pytorch_wavelets(wavelet: str, device: str) -> Transform:
    library = importlib.import_module('pytorch_wavelets')
    modules = {
        level: library.DWTForward(level, wavelet, 'periodization').to(device)
        for level in (1, DEPTH)
    }

    def transform(x: Tensor, level: int) -> list:
        approximation, details = modules[level](x)  # finest first, (N, C, 3, h, w)
        return [approximation, *(three.unbind(2) for three in reversed(details))]

    return transform


def peers(wavelet: str, device: str) -> dict[str, Transform]:
    """The other libraries that are installed; a line for each that is not."""
    found = {'PyWavelets': pywavelets(wavelet)}
    builders = {'ptwt': ptwt, 'pytorch_wavelets': partial(pytorch_wavelets, device=device)}
    for name, build in builders.items():
        try:
            found[name] = build(wavelet)
        except ImportError as error:
            print(f'{name} left out ({error}): pip install {INSTALL[name]}')
    return found


def targets(transform: Transform, images: Tensor) -> list[Tensor]:
    """What `WaveletTargetGenerator` computes, with another library's transform."""
    found, x = [], images
    for level in range(1, DEPTH + 1):
        approximation, details = transform(x, 1)
        if level in LEVELS:
            target = torch.cat([approximation, *details], dim=1)
            variance, mean = torch.var_mean(target, (2, 3), correction=0, keepdim=True)
            found.append((target - mean) / (variance + WaveletTargetGenerator.eps).sqrt())
        x = approximation
    return found


def contenders(images: Tensor, wavelet: str) -> dict[str, Callable[[], object]]:
    """What is timed, by name: library and task."""
    generator = WaveletTargetGenerator(wavelet, LEVELS, norm='subband')
    tasks = {
        f'{OURS}, transform': partial(wavedec2, images, wavelet, level=DEPTH),
        f'{OURS}, targets': partial(generator, images),
    }
    for name, transform in peers(wavelet, images.device.type).items():
        tasks[f'{name}, transform'] = partial(transform, images, DEPTH)
        tasks[f'{name}, targets'] = partial(targets, transform, images)
    return tasks | {'copy': images.clone}


@torch.no_grad()
def seconds(task: Callable[[], object], calls: int, device: str) -> float:
    """Seconds of a call, the mean of several after one that does not count."""
    synchronize = torch.cuda.synchronize if device == 'cuda' else lambda: None
    task()
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        task()
    synchronize()
    return (time.perf_counter() - start) / calls


def compare(images: Tensor, wavelet: str, rounds: int, calls: int) -> dict:
    """Seconds of a call in every round, and ratios: peers to ours, and ours to a copy."""
    device = images.device.type
    tasks = contenders(images, wavelet)
    turns = {name: partial(seconds, task, calls, device) for name, task in tasks.items()}
    taken = alternate(turns, rounds)
    ratios = {}
    for name, times in taken.items():
        library, _, task = name.partition(', ')
        if library == OURS:
            ratios[f'{name} / copy'] = ratio(times, taken['copy'])
        elif task:
            ratios[f'{name} / {OURS}'] = ratio(times, taken[f'{OURS}, {task}'])
    return dict(seconds=taken, ratios=ratios)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.wavelets', description=__doc__.splitlines()[0]
    )
    add = partial(parser.add_argument, help='(%(default)s)')
    known = pywt.wavelist(kind='discrete')
    add('--wavelet', nargs='+', choices=known, metavar='NAME', default=['haar'], help='(haar)')
    add('--batch', type=int, default=32, help='images (%(default)s)')
    add('--rounds', type=int, default=15)
    add('--calls', type=int, default=10, help='calls timed in a round (%(default)s)')
    add('--device', choices=DEVICES, default=DEVICES[-1])
    add('--out', type=Path, default=OUT / 'wavelets.json')
    args = parser.parse_args(argv)

    torch.manual_seed(0)
    images = torch.randn(args.batch, 3, 224, 224, device=args.device)
    results = {}
    for wavelet in args.wavelet:
        results[wavelet] = found = compare(images, wavelet, args.rounds, args.calls)
        milliseconds = {n: 1000 * statistics.median(s) for n, s in found['seconds'].items()}
        rows = [[name, f'{value:.2f}'] for name, value in milliseconds.items()]
        print(f'\n{wavelet}, {args.batch} images\n{aligned(["", "ms"], rows)}')
        print('\n'.join(f'{pair}: {show_ratio(r)}' for pair, r in found['ratios'].items()))
    write(environment('benchmarks.wavelets') | dict(results=results), args.out)


if __name__ == '__main__':
    main()
