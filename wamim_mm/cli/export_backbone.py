"""Write the backbone of a checkpoint for another library.

python tools/export_backbone.py CHECKPOINT OUT --to {mmpretrain,mmdet,mmseg,timm,transformers}

CHECKPOINT is one that an MMEngine run has written, of pre-training or fine-tuning, with a ViT, Swin
or ResNet of mmpretrain's or ours. OUT is a new file, or for transformers a new folder. What is
printed are the lines that load it there.
"""

import argparse
import sys
from pathlib import Path
from pickle import UnpicklingError

from ..export import TARGETS, export_backbone
from .checks import check_checkpoint


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint')
    parser.add_argument('out', type=Path)
    parser.add_argument('--to', choices=TARGETS, required=True)
    return parser.parse_args()


def main() -> None:
    """Write the backbone and print how to load it."""
    args = parse_args()
    try:
        check_checkpoint(args.checkpoint)
        print(export_backbone(args.checkpoint, args.out, args.to))
    except (OSError, ValueError, RuntimeError, ImportError, UnpicklingError) as error:
        sys.exit(f'export_backbone.py: {error}')


if __name__ == '__main__':
    main()
