"""Write the backbone of a checkpoint for another library.

python tools/export_backbone.py CHECKPOINT OUT --to {mmpretrain,mmdet,mmseg,timm,transformers,onnx}

CHECKPOINT is one that an MMEngine run has written, of pre-training or fine-tuning, with a ViT, Swin
or ResNet of mmpretrain's or ours. OUT is a new file (FILE.pth, FILE.safetensors or FILE.onnx), or
for transformers a new folder. What is printed are the lines that load it there. To onnx, the whole
classifier of a fine-tuning is written.
"""

import argparse
from pathlib import Path

from ..class_names import import_custom_modules
from ..export import TARGETS, export_backbone
from .errors import CommandParser, command
from .settings import check_checkpoint, check_new_file


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint')
    parser.add_argument('out', type=Path)
    parser.add_argument('--to', choices=TARGETS, required=True)
    parser.add_argument(
        '--custom-imports',
        nargs='+',
        default=[],
        metavar='MODULE',
        help='modules that register a backbone of your own; the checkpoint itself imports none',
    )
    return parser.parse_args()


@command
def main() -> None:
    """Write the backbone and print how to load it."""
    args = parse_args()
    check_checkpoint(args.checkpoint)
    check_new_file(args.out, 'OUT')
    import_custom_modules(dict(custom_imports=dict(imports=args.custom_imports)))
    print(export_backbone(args.checkpoint, args.out, args.to))


if __name__ == '__main__':
    main()
