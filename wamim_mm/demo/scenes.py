"""Draw the built-in data: scenes of textured objects on textured backgrounds, in three layouts.

    python -m wamim_mm.data.scenes OUT --images 3000 [--size 128] [--seed 0] [--val-fraction 0.2]

One set of images serves classification, detection and segmentation:

    OUT/
      train/<class>/000000.jpg ...            the images, in ImageNet's layout; val/ likewise
      annotations/instances_train.json        COCO's layout, file_name below train/; _val likewise
      annotations/train/<class>/000000.png    ADE20K's layout, one label map an image; val/ likewise
      classes.txt, labels.txt                 the names of CLASSES and LABELS, one a line
      classes.json                            both again, with the seed, the size and the counts

A class is a shape covered with a pattern, such as `striped_star`. As in photographs, it leans to
some hues and to one background, but neither gives it away.
An image's class is that of its largest object, which is never hidden by more than a quarter. Every
object that shows is an instance; its mask, box and area are those of the visible part. A label map
holds `1 + index in LABELS`: the classes first (a COCO category id is the same number), then the
backgrounds' materials. 0 is clutter, to be ignored.

OpenMMLab reads the three as
    mmpretrain: dict(type='CustomDataset', data_root=OUT, data_prefix='train')
    mmdet: dict(type='CocoDataset', data_root=OUT, ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'), metainfo=dict(classes=f'{OUT}/classes.txt'))
    mmseg: dict(type='BaseSegDataset', data_root=OUT, reduce_zero_label=True,
        data_prefix=dict(img_path='train', seg_map_path='annotations/train'),
        metainfo=dict(classes=f'{OUT}/labels.txt'))

The same seed and size give the same files, whatever the number of images and of processes, as long
as the versions of numpy and Pillow stay the same.
"""

import argparse
import json
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..interop.cores import usable_cores
from .drawing import CLASSES, LABELS, VERSION, Scene, draw_scene

__all__ = ['CLASSES', 'LABELS', 'Scene', 'draw_scene', 'make_scenes']

SPLITS = ('train', 'val')
SIZES = (32, 1024)
CHUNK = 20  # scenes that a process is given at a time


def _rle(mask: np.ndarray) -> dict:
    """Encode a mask as COCO's uncompressed run lengths: column by column, zeros first."""
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {'size': list(mask.shape), 'counts': [0, *counts] if flat[0] else counts}


def _instance(mask: np.ndarray, category: int) -> dict:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return {
        'category_id': 1 + category,
        'bbox': [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        'area': int(mask.sum()),
        'iscrowd': 0,
        'segmentation': _rle(mask),
    }


def _draw(out: Path, seed: int, size: int, split: str, i: int) -> tuple[str, list[dict]]:
    """Write the image and the label map of a scene; return its file name and its instances."""
    # The classes take turns, so that every split and every prefix of it is balanced.
    category = i % len(CLASSES)
    scene = draw_scene(np.random.default_rng([seed, SPLITS.index(split), i]), size, category)
    stem = f'{CLASSES[category]}/{i:06d}'
    Image.fromarray(scene.image).save(out / split / f'{stem}.jpg', quality=92)
    Image.fromarray(scene.label_map()).save(out / 'annotations' / split / f'{stem}.png')
    masks = zip(scene.masks, scene.categories, strict=True)
    return f'{stem}.jpg', [_instance(mask, category) for mask, category in masks]


def _start_worker() -> None:
    """Leave Ctrl-C to the parent process, and go when it goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow_parent() -> None:
        parent = parent_process()
        assert parent is not None  # a worker has one
        parent.join()
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()


def _draw_all(
    out: Path, seed: int, size: int, counts: dict[str, int], workers: int
) -> dict[str, list[tuple[str, list[dict]]]]:
    """Draw every scene; return what `_draw` returns, for each split in order."""
    drawn: dict[str, list] = {split: [] for split in SPLITS}
    places = [(split, i) for split in SPLITS for i in range(counts[split])]
    with (
        ProcessPoolExecutor(workers, initializer=_start_worker) as pool,
        tqdm(desc='scenes', total=len(places), unit='image') as bar,
    ):
        try:
            results = pool.map(
                partial(_draw, out, seed, size), *zip(*places, strict=True), chunksize=CHUNK
            )
            for (split, _), result in zip(places, results, strict=True):
                drawn[split].append(result)
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return drawn


def _coco(scenes: list[tuple[str, list[dict]]], size: int) -> dict[str, list[dict]]:
    """A split in COCO's format."""
    images = [
        {'id': i, 'file_name': name, 'width': size, 'height': size}
        for i, (name, _) in enumerate(scenes)
    ]
    found = [{'image_id': i, **instance} for i, (_, part) in enumerate(scenes) for instance in part]
    return {
        'images': images,
        # pycocotools takes an id of 0 for no match.
        'annotations': [{'id': i, **instance} for i, instance in enumerate(found, 1)],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(CLASSES, 1)],
    }


def _read_meta(out: Path) -> dict | None:
    """Read OUT/classes.json; None if OUT is absent or empty.

    Raises:
        FileExistsError: OUT holds something that is not ours.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise FileExistsError(f'{out} is a file; name a folder that is new or empty')
    try:
        meta = json.loads((out / 'classes.json').read_text())
        if meta['made_by'] == 'wamim_mm.data.scenes':
            return meta
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = sorted(path.name for path in out.iterdir())
    if not found:
        return None
    raise FileExistsError(
        f'{out} holds {found[0]!r} and was not made by this command; '
        'name a folder that is new or empty'
    )


def _check(images: int, size: int, seed: int, val_fraction: float) -> dict[str, int]:
    """Return the number of images in each split.

    Raises:
        ValueError: An argument is out of range.
    """
    if images < len(CLASSES):
        raise ValueError(f'images must be at least {len(CLASSES)}, one a class; got {images}')
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f'size must lie from {SIZES[0]} to {SIZES[1]} pixels; got {size}')
    if seed < 0:
        raise ValueError(f'seed must not be negative; got {seed}')
    val = round(images * val_fraction) if 0 < val_fraction < 1 else 0
    if not 0 < val < images:
        raise ValueError(
            f'val_fraction must leave at least one of the {images} images '
            f'to either split; got {val_fraction}'
        )
    return {'train': images - val, 'val': val}


def make_scenes(
    out: str | os.PathLike,
    images: int,
    size: int = 128,
    seed: int = 0,
    val_fraction: float = 0.2,
    workers: int | None = None,
) -> bool:
    """Draw `images` scenes into the folder `out`, in the layouts that the module describes.

    They are drawn beside it, in a folder that takes its name when it is whole: an interrupted call
    leaves nothing behind and begins anew when it is made again.

    Args:
        out: A folder that is new, empty, or made by this function with the same arguments.
        images: How many scenes, training and validation together.
        size: Their side in pixels.
        seed: Another seed gives other scenes.
        val_fraction: The share of the validation split, in (0, 1).
        workers: How many processes draw; None for one on each CPU core.

    Returns:
        False if everything was there already, True if something was drawn.

    Raises:
        ValueError: An argument is out of range.
        FileExistsError: `out` holds other files, or scenes made with other arguments.
    """
    counts = _check(images, size, seed, val_fraction)
    out = Path(out)
    meta = _read_meta(out)
    arguments = {
        'version': VERSION,
        'images': images,
        'size': size,
        'seed': seed,
        'val_fraction': val_fraction,
    }
    if meta is not None:
        for name, value in arguments.items():
            if meta.get(name) != value:
                raise FileExistsError(
                    f'{out} was made with {name} {meta.get(name)}, now asked for with {value}; '
                    'name another folder, or delete this one'
                )
        return False

    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{out.name}-', dir=out.parent) as place:
        new = Path(place, 'scenes')
        # Every class has its folder in every split: mmpretrain numbers the folders that it finds.
        for split, name in product(SPLITS, CLASSES):
            (new / split / name).mkdir(parents=True)
            (new / 'annotations' / split / name).mkdir(parents=True)
        drawn = _draw_all(new, seed, size, counts, workers or usable_cores())
        instances = {}
        for split in SPLITS:
            content = _coco(drawn[split], size)
            instances[split] = len(content['annotations'])
            (new / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
        (new / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
        (new / 'labels.txt').write_text('\n'.join(LABELS) + '\n')
        meta = {
            'made_by': 'wamim_mm.data.scenes',
            **arguments,
            'counts': counts,
            'instances': instances,
            'classification': CLASSES,
            'detection': CLASSES,
            'segmentation': LABELS,
        }
        (new / 'classes.json').write_text(json.dumps(meta, indent=1))
        new.rename(out)
    return True


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog='python -m wamim_mm.data.scenes',
        description='Draw scenes of textured objects, labelled as ImageNet, COCO and ADE20K are.',
    )
    parser.add_argument('out', metavar='OUT', help='a new folder')
    parser.add_argument('--images', type=int, required=True, help='how many, both splits together')
    parser.add_argument('--size', type=int, default=128, help='side in pixels (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='(%(default)s)')
    parser.add_argument('--val-fraction', type=float, default=0.2, help='(%(default)s)')
    args = parser.parse_args()
    # As Ctrl-C does, so that the worker processes are not left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        drawn = make_scenes(args.out, args.images, args.size, args.seed, args.val_fraction)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except BrokenExecutor:
        sys.exit('error: a worker process died (out of memory?)')
    except KeyboardInterrupt:
        sys.exit('interrupted')
    state = 'wrote' if drawn else 'nothing to do, found'
    print(f'{state} {args.images} scenes of {args.size} x {args.size} in {args.out}')


if __name__ == '__main__':
    main()
