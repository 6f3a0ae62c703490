"""What the commands that draw images have in common."""

from argparse import ArgumentParser
from pathlib import Path

from .errors import positive
from .given import add_checkpoint


def add_picture_arguments(parser: ArgumentParser, out: str, count: int, drawn: str) -> None:
    """Arguments of a command that draws what a checkpoint makes of images.

    Args:
        parser: The command's.
        out: The picture's default name.
        count: Images that are drawn from a folder, by default.
        drawn: What the seed decides, for the help.
    """
    add_checkpoint(parser)
    parser.add_argument(
        'images', help='an image, a folder with images somewhere in it, or tar shards'
    )
    parser.add_argument('--out', type=Path, default=Path(out))
    parser.add_argument(
        '--count', type=positive, default=count, help='images to draw from a folder'
    )
    parser.add_argument('--seed', type=int, default=0, help=f'of {drawn}')
