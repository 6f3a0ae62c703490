"""Draw what a pre-trained model sees of images and what it makes of them.

python tools/reconstruct.py [CONFIG] CHECKPOINT IMAGE_OR_FOLDER --out PICTURE.png

Two rows for each image. WaMIM, above: the image, then the inverse wavelet transform of the
predicted coefficients, first of the coarsest level alone, then with one finer level after another.
Below: the visible part, then the same from the true coefficients, which also stand in the visible
part above: no loss is taken there, so predictions mean nothing. Normalization is undone with the
statistics of the true coefficients, as is usual for such pictures.

MFM and its restoration tasks, above: the image, what the encoder sees of it, and the prediction,
which for MFM has the image's own frequencies where they were kept. Below: their spectra, the
mean modulus of the channels, with frequency 0 in the centre and black at a 10,000th of the largest
value of the image.

Files are read as the config's own training reads them. Grey images are shown grey, and of four
bands the first three.
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
    add_picture_arguments(parser, 'reconstruction.png', 4, 'the choice of images and of the masks')
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
        from ..evaluation.reconstructions import draw_reconstructions

        note = draw_reconstructions(cfg, args.checkpoint, paths, args.out, args.count, args.seed)
    print(f'wrote {args.out}' + (f', {note}' if note else ''))


if __name__ == '__main__':
    main()
