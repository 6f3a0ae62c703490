"""Images a second from tar shards, beside files and beside other libraries for shards.

    python -m benchmarks.shards [--images DIR] [--rounds 5]

All give the same images on one core, in random order where they can: the bytes alone, and decoded,
cropped and resized by `LoadRandomResizedCrop`. They take turns, a pass over all images each, once
with the files in memory and once after the system has dropped them from it. Those libraries that
are not installed are left out: pip install webdataset litdata mosaicml-streaming.

WebDataset reads shards from beginning to end and shuffles in a buffer; LitData and MosaicML
Streaming have formats of their own, into which the images are written first.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)

# isort: split
import cv2
from mmengine import fileio
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from benchmarks.data import draw_images
from benchmarks.measure import OUT, aligned, alternate, environment, ratio, show_ratio, write
from wamim_mm.data.loading import LoadRandomResizedCrop, decode, resize
from wamim_mm.data.shard_writing import write_shards
from wamim_mm.data.shards import ShardDataset

#: Of a shard; the sets that are read here are small, and so are their shards.
SHARD_BYTES = 25_000_000
BUFFER = 1000  # images in WebDataset's shuffle buffer

Pass = Callable[[], Iterable[bytes]]


def files(root: Path) -> Iterator[bytes]:
    """The images of a folder, in random order."""
    paths = [path for path in root.rglob('*') if path.is_file()]
    for place in np.random.default_rng(0).permutation(len(paths)):
        yield paths[place].read_bytes()


def shards(dataset: ShardDataset) -> Iterator[bytes]:
    """The images of our data set, in random order."""
    for place in np.random.default_rng(0).permutation(len(dataset)):
        yield fileio.get(dataset.get_data_info(int(place))['img_path'])


def webdataset(pattern: list[str]) -> Iterator[bytes]:
    import webdataset as wds

    for sample in wds.WebDataset(pattern, shardshuffle=False, empty_check=False).shuffle(BUFFER):
        yield sample['jpg']


def litdata(out: Path, images: list[bytes]) -> Pass:
    """Write LitData's format; a pass over it."""
    from litdata import StreamingDataset
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(out), chunk_bytes=SHARD_BYTES)
    for place, image in enumerate(images):
        writer.add_item(place, image)
    writer.done()
    writer.merge()
    dataset = StreamingDataset(str(out), shuffle=True)
    return lambda: map(bytes, dataset)


def mosaicml(out: Path, images: list[bytes]) -> Pass:
    """Write MosaicML's format; a pass over it."""
    from streaming import MDSWriter, StreamingDataset

    with MDSWriter(out=str(out), columns={'jpg': 'bytes'}, size_limit=SHARD_BYTES) as writer:
        for image in images:
            writer.write({'jpg': image})
    dataset = StreamingDataset(local=str(out), shuffle=True, batch_size=1)
    return lambda: (sample['jpg'] for sample in dataset)


def contenders(root: Path, work: Path) -> dict[str, tuple[Pass, Path]]:
    """What is compared: a pass over the bytes of all images, and where they lie."""
    names = [str(path.relative_to(root)) for path in root.rglob('*') if path.is_file()]
    for _ in write_shards(root, names, work / 'shards', 2, SHARD_BYTES):
        pass
    dataset = ShardDataset(str(work / 'shards'))
    found = {
        'shards': (partial(shards, dataset), work / 'shards'),
        'files': (partial(files, root), root),
    }
    if find_spec('webdataset'):
        tars = sorted(map(str, (work / 'shards').glob('*.tar')))
        found['webdataset'] = (partial(webdataset, tars), work / 'shards')
    images = [(root / name).read_bytes() for name in names]
    for name, library, make in (
        ('litdata', 'litdata', litdata),
        ('mosaicml-streaming', 'streaming', mosaicml),
    ):
        if find_spec(library):
            found[name] = (make(work / name, images), work / name)
    return found


def forget(folder: Path) -> None:
    """Let the system drop the files from its memory; works for what is written to the disk."""
    os.sync()
    for path in folder.rglob('*'):
        if path.is_file():
            with open(path, 'rb') as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def crop(data: bytes, load: LoadRandomResizedCrop) -> np.ndarray:
    """What `LoadRandomResizedCrop` does with a file's bytes, without scaled decoding."""
    whole = decode(data)
    top, left, height, width = load.rand_crop_params(whole)
    return resize(whole[top : top + height, left : left + width], load.scale, load.interpolation)


def one_pass(
    read: Pass, count: int, process: Callable[[bytes], object], cold: Path | None
) -> float:
    """Seconds of a pass, by files that lie in ``cold`` and are not in memory."""
    if cold is not None:
        forget(cold)
    start, found = time.perf_counter(), 0
    for data in read():
        process(data)
        found += 1
    seconds = time.perf_counter() - start
    if found != count:
        raise RuntimeError(f'{found} images of {count} were read')
    return seconds


def compare(root: Path, work: Path, rounds: int) -> dict:
    """Rates by what is done with the bytes and where they come from."""
    found = contenders(root, work)
    count = sum(path.is_file() for path in root.rglob('*'))
    load = LoadRandomResizedCrop(224)
    results = {}
    for what, process in (('bytes', len), ('cropped to 224', partial(crop, load=load))):
        for cold in (False, True):
            turns = {
                name: partial(one_pass, read, count, process, place if cold else None)
                for name, (read, place) in found.items()
            }
            alternate(turns, 1)  # imports, and files into memory
            seconds = alternate(turns, rounds)
            results[f'{what}, {"cold" if cold else "warm"}'] = dict(
                images_per_second={
                    name: count / statistics.median(times) for name, times in seconds.items()
                },
                shards_are_faster={
                    name: ratio(times, seconds['shards']) for name, times in seconds.items()
                },
            )
    return results


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.shards', description=__doc__.splitlines()[0]
    )
    parser.add_argument('--images', type=Path, help='a folder of JPEG files (drawn scenes)')
    parser.add_argument('--count', type=int, default=1000, help='of scenes (%(default)s)')
    parser.add_argument('--rounds', type=int, default=5, help='(%(default)s)')
    parser.add_argument('--out', type=Path, default=OUT / 'shards.json')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    # Beside the results, on a disk: what lies in memory cannot be dropped from it.
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as folder:
        root = args.images
        if root is None:
            root = Path(folder, 'images')
            root.mkdir()
            draw_images(root, args.count)
        results = compare(root, Path(folder), args.rounds)
    libraries = list(next(iter(results.values()))['images_per_second'])
    rows = [
        [what, *(f'{found["images_per_second"][name]:,.0f}' for name in libraries)]
        for what, found in results.items()
    ]
    print(aligned(['images/s on one core', *libraries], rows))
    for what, found in results.items():
        others = [
            f'{name} {show_ratio(times)}'
            for name, times in found['shards_are_faster'].items()
            if name != 'shards'
        ]
        print(f'{what}, shards are faster than: {", ".join(others)}')
    record = environment('benchmarks.shards')
    record['versions'] |= {
        name: version(name)
        for name in ('webdataset', 'litdata', 'mosaicml-streaming')
        if name in libraries
    }
    write(record | dict(results=results), args.out)


if __name__ == '__main__':
    main()
