"""Cost on paper: hours, what limits them, and dollars, for 1 to 512 GPUs, up to a billion images.

    python -m benchmarks.on_paper --results docs/results

Nothing here ran on a GPU. A step takes the longest of three things that go on beside each other,
and after it what nothing hides:

- computation: the counted operations of bench_scaling.json at the peak of a GPU, of which a share
  is assumed;
- launches: the operators of a step, counted here, times the time that a CPU takes for one;
- input: images at the rate of one core in bench_inputs.json, with the masks and layouts of
  bench_geometry.json, by the cores that a GPU has;
- then the all-reduce of float32 gradients in a ring, and one wait for the scalars that are logged.

The batch of a step is the recipe's, however many GPUs share it, until each has only `LEAST` images.
"""

import argparse
import json
import statistics
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.measure import OUT, aligned, environment, write
from benchmarks.scaling import BANDWIDTH, IMAGENET, PEAK, UTILIZATION, reduce_seconds
from benchmarks.training import Settings, Training, load_pretraining

ENCODERS = ('vit-b', 'vit-l', 'swin-b', 'swin-l')
GPUS = (1, 8, 64, 512)
#: Images of a data set, and passes over it: the recipe's 400, and what large sets usually get.
DATA = {IMAGENET: 400, 100_000_000: 10, 1_000_000_000: 2}
BATCH, LEAST, MOST = 2048, 8, 256
# Assumed; nothing of this was measured on a GPU.
LAUNCH = 5e-6  # seconds of a CPU for an operator
WAIT = 50e-6  # seconds until a scalar is read after the GPU is done with it
CORES = 12  # CPU cores a GPU
IMAGE_BYTES = 110_000  # of ImageNet's files on average
DOLLARS = 2.0  # for an hour of a GPU


class CountOperators(TorchDispatchMode):
    """Counts operators that a GPU would be given: those that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view and func.overloadpacket.__name__ not in ('detach', 'empty'):
            self.count += 1
        return func(*args, **(kwargs or {}))


@cache
def operators(encoder: str) -> int:
    """Of a training step, forward, backward and optimizer; the same for every batch."""
    training = Training(load_pretraining(f'wamim_{encoder}.py'), Settings(1, 'cpu'))
    training.step(training.batch)  # the optimizer makes its states
    with CountOperators() as counted:
        training.step(training.batch)
    return counted.count


@dataclass(frozen=True)
class Facts:
    """What was measured of an encoder.

    Attributes:
        flops: Of an image.
        parameters: That are trained.
        operators: Of a step.
        core_seconds: Of one CPU core, to load an image and to lay its mask out.
    """

    flops: float
    parameters: int
    operators: int
    core_seconds: float


def facts(encoder: str, results: Path) -> Facts:
    """From the files of the other benchmarks.

    Raises:
        FileNotFoundError: One of them is missing.
    """

    def load(name: str) -> dict:
        return json.loads((results / f'bench_{name}.json').read_text())

    family = encoder.partition('-')[0]
    cells = load('scaling')['results'][f'{family}-b']['measured']
    cell = next(c for c in cells if c['series'] == 'encoder' and c['encoder'] == encoder)
    layout = load('geometry')[f'wamim_{family}-b']['256']['seconds']['in a worker']
    rate = load('inputs')['results']['500x375']['images_per_second']['wamim_mm']
    return Facts(
        flops=cell['flops_per_image'],
        parameters=cell['parameters'],
        operators=operators(encoder),
        core_seconds=1 / rate + statistics.median(layout) / 256,
    )


def step(found: Facts, family: str, gpus: int) -> dict:
    """A step's images on each GPU and its times in seconds."""
    each = min(MOST, max(LEAST, BATCH // gpus))
    # Where the GPUs do not reach the recipe's batch, gradients are accumulated.
    passes = max(1, BATCH // (each * gpus))
    reduce = reduce_seconds(found.parameters, gpus)
    times = dict(
        computation=passes * each * found.flops / (PEAK * UTILIZATION[family]),
        launches=passes * found.operators * LAUNCH,
        input=passes * each * found.core_seconds / CORES,
    )
    limit = max(times, key=lambda name: times[name])
    seconds = times[limit] + reduce + passes * WAIT
    if reduce > times[limit]:
        limit = 'all-reduce'
    return dict(
        times,
        all_reduce=reduce,
        wait=passes * WAIT,
        batch=each * passes * gpus,
        batch_of_a_gpu=each,
        seconds=seconds,
        limit=limit,
    )


def rows_of(encoder: str, found: Facts) -> list[dict]:
    """All numbers of GPUs and sizes of data of one encoder."""
    rows = []
    for images, epochs in DATA.items():
        for gpus in GPUS:
            one = step(found, encoder.partition('-')[0], gpus)
            hours = images * epochs / one['batch'] * one['seconds'] / 3600
            rows.append(
                dict(
                    one,
                    encoder=encoder,
                    images=images,
                    epochs=epochs,
                    gpus=gpus,
                    hours=hours,
                    gpu_hours=gpus * hours,
                    dollars=gpus * hours * DOLLARS,
                    storage_bytes_a_second=one['batch'] / one['seconds'] * IMAGE_BYTES,
                )
            )
    return rows


def table(rows: list[dict], markdown: bool) -> str:
    heads = ['', 'images x epochs', 'GPUs', 'batch', 'hours', 'limit', 'GPU hours', 'dollars']
    heads.append('GB/s of files')
    cells = [
        [
            row['encoder'],
            f'{row["images"] / 1e6:,.1f} M x {row["epochs"]}',
            str(row['gpus']),
            f'{row["batch"]:,}',
            f'{row["hours"]:,.1f}',
            row['limit'],
            f'{row["gpu_hours"]:,.0f}',
            f'{row["dollars"]:,.0f}',
            f'{row["storage_bytes_a_second"] / 1e9:.2f}',
        ]
        for row in rows
    ]
    if not markdown:
        return aligned(heads, cells)
    lines = [heads, ['---'] * len(heads), *cells]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.on_paper', description=__doc__.splitlines()[0]
    )
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--encoders', nargs='+', choices=ENCODERS, default=list(ENCODERS))
    add('--results', type=Path, default=OUT, help='where the others have written (%(default)s)')
    add('--out', type=Path, default=OUT / 'on_paper.json')
    parser.add_argument('--markdown', action='store_true', help='the table for docs/benchmarks.md')
    args = parser.parse_args(argv)
    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    measured = {encoder: facts(encoder, args.results) for encoder in args.encoders}
    rows = [row for encoder in args.encoders for row in rows_of(encoder, measured[encoder])]
    print(table(rows, args.markdown))
    assumed = dict(
        peak_flops=PEAK,
        utilization=UTILIZATION,
        seconds_of_a_launch=LAUNCH,
        seconds_of_a_wait=WAIT,
        cores_a_gpu=CORES,
        bandwidth=BANDWIDTH,
        image_bytes=IMAGE_BYTES,
        dollars_an_hour=DOLLARS,
    )
    found = {encoder: vars(of) for encoder, of in measured.items()}
    record = environment('benchmarks.on_paper')
    write(record | dict(assumed=assumed, measured=found, rows=rows), args.out)


if __name__ == '__main__':
    main()
