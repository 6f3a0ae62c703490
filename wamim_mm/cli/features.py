"""Draw what an encoder's features tell apart, and what it attends to.

python tools/features.py [CONFIG] CHECKPOINT IMAGE_OR_FOLDER --out PICTURE.png

A row for each image: the image; for each of the encoder's outputs the three directions in which its
features differ most (a principal component analysis of all images drawn), as red, green and blue,
so that places of one colour have like features; and of a ViT how much the patches attend to each
patch in the last block, the mean of all heads. The whole image is seen, nothing is hidden.
"""

import argparse

from .checks import find_images
from .errors import CommandParser, command
from .given import given_config
from .pictures import add_picture_arguments, check_picture
from .settings import check_checkpoint


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    add_picture_arguments(parser, 'features.png', 6, 'the choice of images')
    args = parser.parse_args()
    check_picture(args, parser)
    return args


@command
def main() -> None:
    """Draw the picture and print where it is."""
    args = parse_args()
    check_checkpoint(args.checkpoint)
    paths = find_images(args.images)
    with given_config(args.config, args.checkpoint, args.cfg_options) as cfg:
        from ..evaluation.feature_pictures import draw_features

        draw_features(cfg, args.checkpoint, paths, args.out, args.count, args.seed)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
