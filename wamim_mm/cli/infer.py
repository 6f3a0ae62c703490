"""Draw what a trained model says about images: boxes and masks, label maps, classes.

python tools/infer.py [CONFIG] CHECKPOINT IMAGE_OR_FOLDER --out DIR

One picture an image, under the same name in DIR; for a pre-training config, one picture with the
reconstructions that tools/reconstruct.py draws.
"""

import argparse
from pathlib import Path

from ..image_files import spread
from .checks import find_images, image_names
from .errors import CommandParser, command, positive
from .given import add_checkpoint, given_config
from .settings import check_checkpoint, check_folder, check_new_file, check_outside


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    add_checkpoint(parser)
    parser.add_argument('images', help='an image, a folder with images, or tar shards')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--score', type=float, default=0.3, help='least score of a box to draw')
    parser.add_argument(
        '--count', type=positive, help='draw that many images, spread over the folder'
    )
    return parser.parse_args()


@command
def main() -> None:
    """Draw the pictures and print where they are."""
    args = parse_args()
    check_checkpoint(args.checkpoint)
    check_folder(str(args.out), '--out')
    if Path(args.images).is_dir():
        check_outside(str(args.out), args.images, '--out')
    paths = find_images(args.images)
    with given_config(args.config, args.checkpoint, args.cfg_options) as cfg:
        from ..evaluation.reconstructions import draw_reconstructions, is_pretraining

        if is_pretraining(cfg):
            out = args.out / 'reconstruction.png'
            check_new_file(out, '--out')
            note = draw_reconstructions(cfg, args.checkpoint, paths, out, args.count or 4)
            print(f'wrote {out}' + (f', {note}' if note else ''))
            return

        from ..evaluation.predictions import draw_predictions

        paths = [paths[place] for place in spread(len(paths), args.count or len(paths))]
        names = image_names(paths, args.images)
        draw_predictions(cfg, args.checkpoint, paths, names, args.out, args.score)
    print(f'wrote {len(paths)} pictures to {args.out}')


if __name__ == '__main__':
    main()
