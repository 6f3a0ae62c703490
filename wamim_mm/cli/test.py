"""Evaluate a checkpoint: top-1, COCO AP or mIoU, as the config's evaluator says.

python tools/test.py CONFIG CHECKPOINT --cfg-options data_root=DIR
"""

import argparse
from pathlib import Path

from .errors import CommandParser, command, metrics_file
from .launch import add_common_arguments, build_runner, load_config
from .settings import check_checkpoint, check_new_file


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument(
        '--out', type=metrics_file, metavar='FILE.json', help='write the metrics to this file'
    )
    add_common_arguments(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Evaluate the checkpoint, and write the metrics if asked."""
    args = parse_args()
    # An older file is replaced.
    if args.out and not Path(args.out).is_file():
        check_new_file(Path(args.out), '--out')
    cfg = load_config(args, folder='evaluation')
    if cfg.get('test_dataloader') is None:
        raise ValueError(f'{args.config} has no test_dataloader: there is nothing to evaluate')
    check_checkpoint(args.checkpoint)
    cfg.load_from = args.checkpoint
    runner = build_runner(cfg, ('test_dataloader',), strict=True, amp=args.amp)
    metrics = runner.test()
    if args.out:
        import mmengine

        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
