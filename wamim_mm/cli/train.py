"""Train with any config of this project, mmpretrain, mmdet or mmsegmentation.

python tools/train.py configs/pretrain/wamim_vit-b.py --cfg-options data_root=DIR
"""

import argparse
import os

from .errors import CommandParser, command, share
from .launch import add_common_arguments, build_runner, load_config
from .settings import is_first_process
from .work_dir import claim_work_dir, holds_checkpoint


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint, by default from the latest one in the work dir',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's batch size to the actual one",
    )
    parser.add_argument(
        '--allow-partial-backbone',
        action='store_true',
        help='train on where a pre-trained backbone fits in part only',
    )
    parser.add_argument(
        '--max-hours',
        type=float,
        metavar='H',
        help='save and end with exit code 75 after so many hours; --resume goes on',
    )
    parser.add_argument(
        '--max-bad-share',
        type=share,
        default=0.3,
        metavar='S',
        help='stop where more of the files that were tried are bad, 0 to 1 (0.3)',
    )
    add_common_arguments(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Train, or go on with a run that was interrupted."""
    args = parse_args()
    cfg = load_config(args)
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise ValueError(f'{args.config} has no auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    # torchrun starts a worker again after a failure: it goes on with what was saved since.
    again = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')) > 0
    resume = 'auto' if again and holds_checkpoint(cfg.work_dir) else args.resume
    claim_work_dir(cfg.work_dir, again or bool(resume or cfg.get('resume')), is_first_process())
    if resume == 'auto' and not holds_checkpoint(cfg.work_dir):
        if is_first_process():
            print(f'--resume: no checkpoint in {cfg.work_dir}, the run starts from its beginning')
    elif resume:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
    runner = build_runner(
        cfg,
        ('train_dataloader', 'val_dataloader'),
        strict=bool(cfg.get('resume')),
        allow_partial_backbone=args.allow_partial_backbone,
        amp=args.amp,
        max_bad_share=args.max_bad_share,
    )
    runner.register_hook(dict(type='StopHook', max_hours=args.max_hours))
    runner.train()


if __name__ == '__main__':
    main()
