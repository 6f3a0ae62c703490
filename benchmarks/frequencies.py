"""MFM's filter and loss on half the spectrum beside the formulas on the whole one.

    python -m benchmarks.frequencies [--batch 32] [--device cuda]

*filter*: images to filtered images; the half is what `torch.fft.rfft2` returns, the whole takes a
complex transform there and back. *loss*: forward and backward; ours transforms the difference of
two images once, the whole transforms both. 3 x 224 x 224, a mask for every sample.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

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
from wamim_mm import FrequencyFilter, FrequencyLoss
from wamim_mm.ops import frequency_filter


def whole_filter(x: Tensor, mask: Tensor) -> Tensor:
    """`frequency_filter` as MFM's section 3.2 has it."""
    spectrum = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) * mask[:, None]
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real.clamp(0, 1)


def whole_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """`FrequencyLoss` with its defaults, as MFM's section 3.3 has it."""
    spectra = (torch.fft.fft2(x, norm='ortho') for x in (pred, target))
    predicted, true = (torch.fft.fftshift(x, dim=(-2, -1)) for x in spectra)
    distance = (predicted - true).abs() * ~mask[:, None]
    return distance.sum() / (pred.shape[1] * (~mask).sum())


def tasks(batch: int, device: str) -> dict[str, Callable[[], object]]:
    """What is timed, by name: task and how."""
    torch.manual_seed(0)
    images, pred = torch.rand(2, batch, 3, 224, 224, device=device)
    pred.requires_grad_()
    mask = FrequencyFilter(radius=16)(images)[1]

    def step(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        pred.grad = None
        loss(pred, images, mask).backward()

    return {
        'filter, half': partial(frequency_filter, images, mask),
        'filter, whole': partial(whole_filter, images, mask),
        'loss, half': partial(step, FrequencyLoss()),
        'loss, whole': partial(step, whole_loss),
    }


def seconds(task: Callable[[], object], device: str) -> float:
    """Seconds of a call."""
    synchronize = torch.cuda.synchronize if device == 'cuda' else lambda: None
    synchronize()
    start = time.perf_counter()
    task()
    synchronize()
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.frequencies', description=__doc__.splitlines()[0]
    )
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--batch', type=int, default=32)
    add('--rounds', type=int, default=15)
    add('--device', choices=DEVICES, default=DEVICES[-1])
    add('--out', type=Path, default=OUT / 'frequencies.json')
    args = parser.parse_args(argv)

    turns = {
        name: partial(seconds, task, args.device)
        for name, task in tasks(args.batch, args.device).items()
    }
    alternate(turns, 1)  # plans of the transforms, memory
    taken = alternate(turns, args.rounds)
    ratios = {
        task: ratio(taken[f'{task}, whole'], taken[f'{task}, half']) for task in ('filter', 'loss')
    }
    rows = [[name, f'{1000 * statistics.median(times):.2f}'] for name, times in taken.items()]
    print(aligned(['', 'ms'], rows))
    print('\n'.join(f'{task}: half is {show_ratio(r)} as fast' for task, r in ratios.items()))
    write(environment('benchmarks.frequencies') | dict(seconds=taken, ratios=ratios), args.out)


if __name__ == '__main__':
    main()
