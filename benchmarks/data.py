"""The input pipeline alone, ours beside mmpretrain's, and what of a step is spent waiting for it.

    python -m benchmarks.data [--images DIR] [--workers 2] [--config CONFIG]

Both are data loaders of MMEngine over the same JPEG files: that of the config, and one with the
pipeline of mmpretrain's MAE (decode, random resized crop with bicubic interpolation, flip). They
take turns, a pass over the files each: without workers, which is the rate of one core, and with
them. Then the config is trained for some steps on its loader with workers, and the time that goes
by between the steps is the time spent waiting for data.

Without --images, the files are drawn scenes of 500 x 375 pixels at JPEG quality 90, of about
ImageNet's size; photographs have more detail, so that they take longer to decode.
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)

# isort: split
import cv2
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

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
from benchmarks.training import Settings, Training, default_dtype
from wamim_mm.demo.scenes import draw_scene

CONFIG = Path(__file__).parent.parent / 'configs' / 'pretrain' / 'wamim_vit-b.py'
PEER = 'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'


def draw_images(out: Path, count: int, size: tuple[int, int] = (500, 375)) -> None:
    """Write built-in scenes as JPEG files; the size, (width, height), is ImageNet's usual one."""
    for i in range(count):
        scene = draw_scene(np.random.default_rng(i), size=500)
        picture = Image.fromarray(scene.image[:375])
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        picture.save(out / f'{i:05}.jpg', quality=90)


def loader(cfg: Config, images: Path, batch: int, workers: int) -> DataLoader:
    """The training data loader of a config, on a folder of images."""
    options = copy.deepcopy(cfg.train_dataloader)
    options.update(batch_size=batch, num_workers=workers, persistent_workers=workers > 0)
    options.pin_memory = torch.cuda.is_available()
    options.dataset.update(data_root=str(images), data_prefix='')
    return Runner.build_dataloader(options, seed=0)


def with_pipeline_of(cfg: Config, other: Config) -> Config:
    """A config with another one's pipeline, over the same files."""
    cfg = copy.deepcopy(cfg)
    dataset = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='CustomDataset',
        data_root=dataset.data_root,
        with_label=False,
        pipeline=other.train_dataloader.dataset.pipeline,
    )
    return cfg


def seconds_per_image(batches: DataLoader) -> float:
    """One pass over the files."""
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch['inputs'])
    return (time.perf_counter() - start) / count


def compare(
    configs: dict[str, Config], images: Path, batch: int, workers: int, rounds: int
) -> dict:
    """Images per second of each config's loader, and the first one's ratio to the second."""
    loaders = {name: loader(cfg, images, batch, workers) for name, cfg in configs.items()}
    for batches in loaders.values():
        seconds_per_image(batches)  # starts the workers, and reads the files into memory
    turns = {name: partial(seconds_per_image, batches) for name, batches in loaders.items()}
    seconds = alternate(turns, rounds)
    own, other = seconds.values()
    return dict(
        seconds_per_image=seconds,
        images_per_second={name: 1 / statistics.median(s) for name, s in seconds.items()},
        ratio=ratio(other, own),
    )


def endless(batches: DataLoader) -> Iterator[dict]:
    while True:
        yield from batches


def waiting(training: Training, batches: DataLoader, steps: int) -> dict[str, float]:
    """Seconds of training steps and of waiting for their batches, and the share of waiting.

    A step ends when the device is done with it, so what is counted is time without work for it.
    """
    iterator = endless(batches)
    for batch in islice(iterator, 2):
        training.step(batch)
    training.synchronize()
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        before = time.perf_counter()
        batch = next(iterator)
        waited += time.perf_counter() - before
        training.step(batch)
        training.synchronize()
    total = time.perf_counter() - start
    return dict(step=(total - waited) / steps, wait=waited / steps, share=waited / total)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.data', description=__doc__.splitlines()[0]
    )
    cores = len(os.sched_getaffinity(0))
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--images', type=Path, help='a folder of images (drawn scenes)')
    add('--config', type=Path, default=CONFIG)
    add('--batch', type=int, default=16)
    add('--workers', type=int, default=min(8, cores), help='of the data loader (%(default)s)')
    add('--rounds', type=int, default=9)
    add('--steps', type=int, default=6, help='of training (%(default)s)')
    add('--dtype', choices=('fp32', 'bf16', 'fp16'), help='bf16 on a GPU that has it, else fp32')
    add('--device', choices=DEVICES, default=DEVICES[-1])
    add('--out', type=Path, default=OUT / 'data.json')
    args = parser.parse_args(argv)
    try:
        dtype = args.dtype or default_dtype(args.device)
        settings = Settings(batch=args.batch, device=args.device, dtype=dtype)
    except ValueError as error:
        parser.error(str(error))

    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    cv2.setNumThreads(0)  # as in the configs' env_cfg; one core is one core
    ours = Config.fromfile(args.config)
    configs = {'wamim_mm': ours, 'mmpretrain': with_pipeline_of(ours, get_config(PEER))}
    results = {}
    with tempfile.TemporaryDirectory() as drawn:
        images = args.images
        if images is None:
            images = Path(drawn)
            draw_images(images, 8 * args.batch)
        for workers in dict.fromkeys([0, args.workers]):
            name = f'{workers} workers' if workers else 'one core'
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            results[name] = found = compare(configs, images, args.batch, workers, args.rounds)
            torch.set_num_threads(threads)
            rows = [[n, f'{rate:.0f}'] for n, rate in found['images_per_second'].items()]
            print(f'\n{name}\n{aligned(["", "images/s"], rows)}')
            print(f'mmpretrain / wamim_mm: {show_ratio(found["ratio"])}', flush=True)
        training = Training(ours, settings)
        batches = loader(ours, images, args.batch, args.workers)
        results['waiting'] = found = waiting(training, batches, args.steps)
    print(
        f'\n{args.config.name}, {args.batch} images, {args.workers} workers: {found["share"]:.1%} '
        f'of a step spent waiting ({1000 * found["wait"]:.0f} of '
        f'{1000 * (found["wait"] + found["step"]):.0f} ms)'
    )
    write(environment('benchmarks.data') | dict(results=results), args.out)


if __name__ == '__main__':
    main()
