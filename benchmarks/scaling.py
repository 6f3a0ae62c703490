"""How the cost of a WaMIM step grows with batch, input size, encoder and processes.

    python -m benchmarks.scaling [--encoders vit-b swin-b] [--batch 16] [--out FILE]

Measured: one series for each of the four, from images of 224 x 224 in one process. What was not
measured, a line through the measured batches and `epoch_hours` estimate. The hours of an epoch go
by the measured throughput on a GPU, and elsewhere by operations and an assumed utilization.
"""

import argparse
import itertools
import statistics
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config

from benchmarks.measure import DEVICES, OUT, aligned, environment, peak_flops, write
from benchmarks.pretrain import compare
from benchmarks.training import STEPS, Settings, default_dtype, load_pretraining

SIZES = {'vit-b': ('vit-s', 'vit-b', 'vit-l'), 'swin-b': ('swin-t', 'swin-b', 'swin-l')}
FACTORS = (1 / 2, 1, 2, 4)  # of the batch
ON_PAPER = (16, 64, 128, 256, 512, 1024)
INPUTS = (192, 224, 320, 384, 512)
IMAGENET = 1_281_167
# Assumed without a GPU: an NVIDIA A100 in bf16 at the share of its peak that this project aims at.
PEAK = peak_flops('NVIDIA A100', 'bf16')
UTILIZATION = {'vit': 0.40, 'swin': 0.25}
# Assumed of more GPUs than one: images on each.
BATCH = 256
# Bytes a second at which a process takes part in an all-reduce: NVLink inside a machine of 8, an
# InfiniBand port of 200 Gb/s for each GPU between machines. The latter is what counts from 9 on.
BANDWIDTH = {8: 200e9, 64: 25e9, 512: 25e9}


def config(encoder: str, img_size: int) -> Config:
    """The pre-training config of WaMIM for another input; Swin's windows grow with it."""
    cfg = load_pretraining(f'wamim_{encoder}.py')
    cfg.model.backbone.img_size = img_size
    if encoder.startswith('swin'):
        cfg.model.backbone.window_size = img_size // 32
    return cfg


class Cell(NamedTuple):
    """What is measured; the images of all processes together are ``batch``."""

    encoder: str
    batch: int
    img_size: int = 224
    processes: int = 1


def series(encoder: str, batch: int, most_processes: int) -> dict[str, list[Cell]]:
    """The cells of each series."""
    processes = [count for count in (1, 2) if count <= most_processes]
    return {
        'batch': [Cell(encoder, int(factor * batch)) for factor in FACTORS],
        'input': [Cell(encoder, batch, img_size=size) for size in INPUTS],
        'encoder': [Cell(other, batch) for other in SIZES[encoder]],
        'processes': [Cell(encoder, batch, processes=count) for count in processes],
    }


def measure(cell: Cell, device: str, dtype: str, rounds: int) -> dict:
    """What `compare` finds, with the median of ``seconds``."""
    settings = Settings(
        batch=cell.batch // cell.processes,
        device=device,
        dtype=dtype,
        steps=STEPS[device],
        processes=cell.processes,
        img_size=cell.img_size,
    )
    configs = {cell.encoder: config(cell.encoder, cell.img_size)}
    found = compare(configs, settings, rounds)[cell.encoder]
    if 'seconds' in found:
        found['seconds'] = statistics.median(found['seconds'])
    return cell._asdict() | found


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Offset and slope of the least-squares line through ``(x, y)``."""
    slope, offset = statistics.linear_regression(*zip(*points, strict=True))
    return offset, slope


def assumed_seconds(encoder: str, flops_per_image: float) -> float:
    """Seconds of an image on a GPU that is not at hand: its operations at `UTILIZATION`."""
    return flops_per_image / (PEAK * UTILIZATION[encoder.partition('-')[0]])


def reduce_seconds(parameters: int, processes: int) -> float:
    """Seconds of a ring all-reduce of float32 gradients at `BANDWIDTH`; none in one process."""
    if processes == 1:
        return 0.0
    return 2 * (processes - 1) / processes * 4 * parameters / BANDWIDTH[processes]


def epoch_hours(seconds: float, parameters: int, processes: int) -> tuple[float, float]:
    """Estimated hours of an ImageNet-1K epoch on GPUs.

    After the time of `BATCH` images on one GPU, as if nothing of it were hidden behind the backward
    pass, a step waits for a ring all-reduce of float32 gradients at `BANDWIDTH`.

    Args:
        seconds: Of one image on one GPU.
        parameters: Number of parameters that are trained.
        processes: GPUs: 1, 8 or 64.

    Returns:
        Hours that pass, and GPU hours.
    """
    reduce = reduce_seconds(parameters, processes)
    hours = IMAGENET / (BATCH * processes) * (BATCH * seconds + reduce) / 3600
    return hours, hours * processes


def batches_on_paper(found: list[dict]) -> list[dict]:
    """Seconds and bytes of batches that were not measured, by lines through those that were."""
    measured = [cell for cell in found if cell['series'] == 'batch' and 'error' not in cell]
    seconds = line([(cell['batch'], cell['seconds']) for cell in measured])
    memory = line([(cell['batch'], cell['peak_bytes']) for cell in measured])
    return [
        dict(
            batch=batch,
            seconds=seconds[0] + seconds[1] * batch,
            peak_bytes=memory[0] + memory[1] * batch,
        )
        for batch in ON_PAPER
    ]


def epochs_on_paper(found: list[dict], device: str) -> list[dict]:
    """`epoch_hours` of every encoder that was measured."""
    epochs = []
    for cell in found:
        if cell['series'] != 'encoder' or 'error' in cell:
            continue
        if device == 'cuda':
            seconds = 1 / cell['images_per_second']
        else:
            seconds = assumed_seconds(cell['encoder'], cell['flops_per_image'])
        for gpus in (1, 8, 64):
            hours, together = epoch_hours(seconds, cell['parameters'], gpus)
            epochs.append(
                dict(encoder=cell['encoder'], processes=gpus, hours=hours, gpu_hours=together)
            )
    return epochs


def report(found: list[dict], paper: list[dict], hours: list[dict]) -> str:
    """All of one encoder as text."""
    heads = ['', 'batch', 'input', 'processes', 'images/s', 'peak MB', 'GFLOP/image', 'M params']
    rows, failed = [], []
    for cell in found:
        row = [f'{cell["series"]}: {cell["encoder"]}']
        row += [str(cell[key]) for key in ('batch', 'img_size', 'processes')]
        if 'error' in cell:
            failed.append(f'{" ".join(row)} failed: {cell["error"]}')
            continue
        row += [f'{cell["images_per_second"]:.2f}', f'{cell["peak_bytes"] / 1e6:.0f}']
        row += [f'{cell["flops_per_image"] / 1e9:.1f}', f'{cell["parameters"] / 1e6:.1f}']
        rows.append(row)
    lines = [aligned(heads, rows), *failed, '', 'estimated, by lines through the measured batches:']
    rows = [
        ['', str(p['batch']), f'{p["batch"] / p["seconds"]:.2f}', f'{p["peak_bytes"] / 1e6:.0f}']
        for p in paper
    ]
    lines += [aligned(['', 'batch', 'images/s', 'peak MB'], rows), '']
    lines += ['estimated: an ImageNet-1K epoch on GPUs, see benchmarks/scaling.py:']
    rows = [
        [h['encoder'], str(h['processes']), f'{h["hours"]:.3f}', f'{h["gpu_hours"]:.2f}']
        for h in hours
    ]
    return '\n'.join([*lines, aligned(['', 'GPUs', 'hours', 'GPU hours'], rows)])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.scaling', description=__doc__.splitlines()[0]
    )
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--encoders', nargs='+', choices=SIZES, default=list(SIZES))
    add('--batch', type=int, help='images (16 on a CPU, 256 on a GPU)')
    add('--dtype', choices=('fp32', 'bf16', 'fp16'), help='bf16 on a GPU that has it, else fp32')
    add('--device', choices=DEVICES, default=DEVICES[-1])
    add('--rounds', type=int, default=2)
    add('--out', type=Path, default=OUT / 'scaling.json')
    args = parser.parse_args(argv)

    on_gpu = args.device == 'cuda'
    batch = args.batch or (256 if on_gpu else 16)
    if batch % 2:
        parser.error(f'--batch must be even, as it is halved; got {batch}')
    most_processes = torch.cuda.device_count() if on_gpu else 2
    results = {}
    for encoder in args.encoders:
        wanted = series(encoder, batch, most_processes)
        measured = {
            cell: measure(cell, args.device, args.dtype or default_dtype(args.device), args.rounds)
            for cell in dict.fromkeys(itertools.chain(*wanted.values()))
        }
        found = [dict(measured[cell], series=name) for name in wanted for cell in wanted[name]]
        paper, hours = batches_on_paper(found), epochs_on_paper(found, args.device)
        results[encoder] = dict(measured=found, batches_on_paper=paper, epochs_on_paper=hours)
        print(f'\n{report(found, paper, hours)}\n')
    write(environment('benchmarks.scaling') | dict(results=results), args.out)


if __name__ == '__main__':
    main()
