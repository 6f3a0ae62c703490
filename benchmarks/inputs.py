"""Images a second that a core crops to 224, from JPEG files of real sizes, beside other pipelines.

    python -m benchmarks.inputs [--sizes 500x375 2000x1500] [--count 400] [--rounds 5]

Everybody reads the same drawn scenes (JPEG quality 90), crops 20 to 100 % of the area to 224 x 224
with bicubic interpolation and antialiasing, and flips half of them; on one core, to which the
process is bound with all its threads. They take turns, a pass over all images each. Ours reads them
from files and from tar shards; the others are mmpretrain's own transforms, torchvision's v2 (which
decodes to a tensor) and, where it is installed, NVIDIA DALI on the CPU
(pip install nvidia-dali-cuda120). FFCV is left out: it has no wheel, and is built against OpenCV's
headers, which few machines have.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)

# isort: split
import cv2
from mmengine.dataset import Compose
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import TRANSFORMS
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import InterpolationMode, v2

from benchmarks.data import draw_images
from benchmarks.measure import OUT, aligned, alternate, environment, ratio, show_ratio, write
from wamim_mm.data.shard_index import shard_uris
from wamim_mm.data.shard_writing import write_shards

CROP = 224
OURS = [dict(type='LoadRandomResizedCrop', scale=CROP, crop_ratio_range=(0.2, 1.0))]
MMPRETRAIN = [
    dict(type='LoadImageFromFile'),
    dict(
        type='mmpretrain.RandomResizedCrop',
        scale=CROP,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
]
LAST = [dict(type='RandomFlip', prob=0.5), dict(type='mmpretrain.PackInputs')]


def draw(out: Path, width: int, height: int, count: int) -> list[str]:
    """Write scenes as JPEG files; their paths."""
    out.mkdir(parents=True)
    draw_images(out, count, (width, height))
    return sorted(str(path) for path in out.iterdir())


def transforms(steps: list[dict], paths: list[str]) -> Iterable[torch.Tensor]:
    pipeline = Compose([TRANSFORMS.build(step) for step in [*steps, *LAST]])
    return (pipeline(dict(img_path=path))['inputs'] for path in paths)


def torchvision_v2(paths: list[str]) -> Iterable[torch.Tensor]:
    pipeline = v2.Compose(
        [
            v2.RandomResizedCrop(
                CROP, (0.2, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True
            ),
            v2.RandomHorizontalFlip(),
        ]
    )
    return (pipeline(decode_image(read_file(path), ImageReadMode.RGB)) for path in paths)


def dali(paths: list[str]) -> Callable[[], Iterable[object]]:
    """A pass of DALI's pipeline, built beforehand."""
    from nvidia.dali import fn, pipeline_def, types

    size = min(16, len(paths))

    # Nothing is prepared beforehand, in the others' turns.
    @pipeline_def(
        batch_size=size, num_threads=1, device_id=None, exec_async=False, exec_pipelined=False
    )
    def build():
        files, _ = fn.readers.file(files=paths)
        images = fn.decoders.image_random_crop(
            files, output_type=types.RGB, random_area=[0.2, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
        )
        images = fn.resize(
            images, size=[CROP, CROP], interp_type=types.INTERP_CUBIC, antialias=True
        )
        return fn.flip(images, horizontal=fn.random.coin_flip())

    pipeline = build()
    pipeline.build()

    def images():
        for _ in range(len(paths) // size):
            yield from pipeline.run()[0]

    return images


def contenders(paths: list[str], work: Path) -> dict[str, Callable[[], Iterable[object]]]:
    """A pass over all images, by name."""
    names = [Path(path).name for path in paths]
    for _ in write_shards(Path(paths[0]).parent, names, work / 'shards', 1):
        pass
    found = {
        'wamim_mm': partial(transforms, OURS, paths),
        'wamim_mm, shards': partial(transforms, OURS, shard_uris(str(work / 'shards'))),
        'mmpretrain': partial(transforms, MMPRETRAIN, paths),
        'torchvision v2': partial(torchvision_v2, paths),
    }
    if find_spec('nvidia') and find_spec('nvidia.dali'):
        found['DALI, CPU'] = dali(paths)
    return found


def one_pass(images: Callable[[], Iterable[object]]) -> float:
    """Seconds of an image."""
    np.random.seed(0)  # noqa: NPY002  (the same crops in every pass)
    torch.manual_seed(0)
    start, count = time.perf_counter(), 0
    for _ in images():
        count += 1
    return (time.perf_counter() - start) / count


def compare(paths: list[str], work: Path, rounds: int) -> dict:
    """Rates, and how many times as fast as each other pipeline ours is on files."""
    turns = {name: partial(one_pass, run) for name, run in contenders(paths, work).items()}
    alternate(turns, 1)  # imports, and files into memory
    seconds = alternate(turns, rounds)
    return dict(
        images_per_second={name: 1 / statistics.median(s) for name, s in seconds.items()},
        ratio={name: ratio(s, seconds['wamim_mm']) for name, s in seconds.items()},
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.inputs', description=__doc__.splitlines()[0]
    )
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--sizes', nargs='+', default=['500x375', '2000x1500'], metavar='WxH')
    add('--count', type=int, default=400)
    add('--rounds', type=int, default=5)
    add('--out', type=Path, default=OUT / 'inputs.json')
    args = parser.parse_args(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    record, results = environment('benchmarks.inputs'), {}
    for size in args.sizes:
        width, height = map(int, size.split('x'))
        with tempfile.TemporaryDirectory() as folder:
            paths = draw(Path(folder, 'images'), width, height, args.count)
            results[size] = found = compare(paths, Path(folder), args.rounds)
        rows = [
            [name, f'{rate:.0f}', show_ratio(found['ratio'][name])]
            for name, rate in found['images_per_second'].items()
        ]
        print(f'\n{size}\n{aligned(["", "images/s", "our speed-up"], rows)}', flush=True)
    if any('DALI, CPU' in found['ratio'] for found in results.values()):
        record['versions']['nvidia-dali-cuda120'] = version('nvidia-dali-cuda120')
    write(record | dict(results=results), args.out)


if __name__ == '__main__':
    main()
