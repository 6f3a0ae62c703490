"""Give every image of a folder a vector, by a pre-trained encoder.

wamim embed CHECKPOINT DIR --out FILE.npz

The vector is the mean of the encoder's last feature map. FILE may be .npz (arrays names and
vectors), .csv or .parquet. --neighbours draws some images and the ones most like them, and
--duplicates lists pairs of images that are nearly the same.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..image_files import spread
from .checks import find_images, image_names
from .errors import CommandParser, command, positive, share
from .given import add_checkpoint, given_config
from .settings import check_checkpoint, check_new_file

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = ('.npz', '.csv', '.parquet')
PICTURES = ('.png', '.jpg', '.jpeg')
#: Rows and columns of the picture of neighbours, the image itself in the first.
ROWS, COLUMNS = 8, 7


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_checkpoint(parser)
    parser.add_argument('images', help='a folder with images, sub-folders included, or tar shards')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FILE', help=' or '.join(SUFFIXES)
    )
    parser.add_argument('--neighbours', type=Path, metavar='FILE.png', help='draw a picture')
    parser.add_argument('--duplicates', type=Path, metavar='FILE.csv', help='list pairs')
    parser.add_argument(
        '--least-cosine',
        type=share,
        default=0.98,
        metavar='C',
        help='of a pair in the list (%(default)s)',
    )
    parser.add_argument('--batch-size', type=positive, default=64)
    args = parser.parse_args()
    places = [path.resolve() for path in (args.out, args.neighbours, args.duplicates) if path]
    if len(set(places)) < len(places):
        parser.error('--out, --neighbours and --duplicates name one file; give each its own')
    return args


@command
def main() -> None:
    """Embed the images, and write what was asked for."""
    args = parse_args()
    check_checkpoint(args.checkpoint)
    check_new_file(args.out, '--out', SUFFIXES)
    if args.neighbours:
        check_new_file(args.neighbours, '--neighbours', PICTURES)
    if args.duplicates:
        check_new_file(args.duplicates, '--duplicates', ('.csv',))
    if args.out.suffix.lower() == '.parquet':
        _check_pyarrow()
    paths = find_images(args.images)
    with given_config(args.config, args.checkpoint, args.cfg_options) as cfg:
        from tqdm import tqdm

        from ..data.images import train_pipeline
        from ..evaluation.embedding import embed, near_duplicates, nearest, save_embedding

        with tqdm(total=len(paths), unit='image', disable=None) as bar:  # none in a file
            found = embed(cfg, args.checkpoint, paths, args.batch_size, bar.update)
    names = image_names(found.paths, args.images)
    save_embedding(names, found.vectors, args.out)
    count, channels = found.vectors.shape
    print(f'wrote {args.out}: {count:,} vectors of {channels}')
    for bad in found.bad[:3]:
        print(f'passed over {bad}')
    if len(found.bad) > 3:
        print(f'passed over {len(found.bad) - 3:,} more')
    if args.neighbours:
        queries = spread(count, ROWS)
        others = nearest(found.vectors, queries, min(COLUMNS, count) - 1)
        draw_neighbours(found.paths, queries, others, args.neighbours, train_pipeline(cfg))
        print(f'wrote {args.neighbours}')
    if args.duplicates:
        pairs = near_duplicates(found.vectors, args.least_cosine)
        with args.duplicates.open(
            'w', newline='', encoding='utf-8', errors='surrogateescape'
        ) as file:
            rows = csv.writer(file)
            rows.writerow(['first', 'second', 'cosine'])
            rows.writerows((names[a], names[b], f'{cosine:.4f}') for a, b, cosine in pairs)
        print(f'wrote {args.duplicates}: {len(pairs):,} pairs')


def _check_pyarrow() -> None:
    from importlib.util import find_spec

    if find_spec('pyarrow') is None:
        raise ImportError('--out FILE.parquet needs pyarrow: pip install pyarrow, or take .npz')


def draw_neighbours(
    paths: Sequence[Path | str],
    queries: Sequence[int],
    others: 'np.ndarray',
    out: Path,
    like: Sequence[dict],
) -> None:
    """A row for each query: the image, and the ones most like it, read as a pipeline reads them."""
    from PIL import Image, ImageOps

    from ..evaluation.predictions import rgb_picture

    side, gap = 128, 6
    rows = [[query, *row] for query, row in zip(queries, others.tolist(), strict=True)]
    width = len(rows[0]) * (side + gap) + 2 * gap
    picture = Image.new('RGB', (width, len(rows) * (side + gap) + gap), 'white')
    for y, row in enumerate(rows):
        for x, index in enumerate(row):
            image = Image.fromarray(rgb_picture(paths[index], like))
            small = ImageOps.fit(image, (side, side))
            # The first column stands apart.
            place = gap + x * (side + gap) + (gap if x else 0)
            picture.paste(small, (place, gap + y * (side + gap)))
    picture.save(out)


if __name__ == '__main__':
    main()
