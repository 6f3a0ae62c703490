"""Write a folder of images into tar shards, which many images are kept and read in.

wamim shards DIR OUT

A shard is a plain .tar of about 500 MB with the images as they are, in random order, and an index
beside it. Called again, the command goes on where it was stopped. Every image is read back and
compared. Train with: wamim pretrain --data OUT
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ..image_files import SUFFIXES, files_under, is_shards
from ..interop.cores import usable_cores
from .errors import CommandParser, command, positive
from .settings import check_folder, existing_part


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', type=Path, metavar='DIR', help='images, sub-folders included')
    parser.add_argument('out', type=Path, metavar='OUT', help='a folder for the shards')
    parser.add_argument(
        '--workers',
        type=positive,
        default=usable_cores(),
        metavar='N',
        help='shards that are written at a time (%(default)s)',
    )
    return parser.parse_args()


@command
def main() -> None:
    """Write the shards and say how to train on them."""
    args = parse_args()
    if not args.images.is_dir():
        raise FileNotFoundError(f'{args.images} is no folder; give one with images')
    check_folder(str(args.out), 'OUT')
    if args.out.resolve() == args.images.resolve():
        raise ValueError(f'OUT is DIR, {args.images}; give the shards a folder of their own')
    if is_shards(args.images):
        raise ValueError(f'{args.images} has shards already; give a folder with images')
    names = [
        str(path.relative_to(args.images))
        for path in files_under(args.images)
        if path.suffix.lower() in SUFFIXES
    ]
    if not names:
        raise FileNotFoundError(f'no image in {args.images}')
    needed = sum((args.images / name).stat().st_size for name in names)
    there = sum(path.stat().st_size for path in args.out.glob('*.tar'))
    free = shutil.disk_usage(existing_part(args.out)).free
    if free + there < 1.05 * needed:
        raise ValueError(
            f'{args.out}: {needed / 1e9:.3g} GB are needed, {free / 1e9:.3g} GB are free; make '
            'room, or choose another OUT'
        )
    from tqdm import tqdm

    from ..data.shard_writing import write_shards

    shards, kept, images, skipped = 0, 0, 0, []
    with tqdm(total=len(names), unit='image', disable=None) as bar:  # none in a file
        for written in write_shards(args.images, names, args.out, args.workers):
            shards += 1
            kept += not written.new
            images += written.images
            skipped += written.skipped
            bar.update(written.images + len(written.skipped))
    there = f', {kept:,} of which were there' if kept else ''
    print(f'{images:,} images in {shards:,} shards, read back and compared when written{there}')
    for line in skipped[:3]:
        print(f'passed over {line}')
    if len(skipped) > 3:
        print(f'passed over {len(skipped) - 3:,} more')
    print(f'Next:\n  wamim pretrain --data {args.out}')


if __name__ == '__main__':
    main()
