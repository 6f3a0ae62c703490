"""What the commands that draw images have in common."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .errors import positive
from .given import add_checkpoint
from .settings import check_new_file

#: What matplotlib writes.
SUFFIXES = ('.png', '.jpg', '.jpeg', '.pdf', '.svg')


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
    parser.add_argument(
        '--out', type=Path, default=Path(out), metavar='FILE', help=f'a new file ({out})'
    )
    parser.add_argument(
        '--count', type=positive, default=count, help='images to draw from a folder'
    )
    parser.add_argument('--seed', type=int, default=0, help=f'of {drawn}')


def check_picture(args: Namespace, parser: ArgumentParser) -> None:
    """Raise an error unless the picture can be written: see `check_new_file`.

    Under its default name the picture of the last call is replaced.
    """
    if args.out != parser.get_default('out') or not args.out.is_file():
        check_new_file(args.out, '--out', SUFFIXES)
