"""Train with any config of this project, mmpretrain, mmdet or mmsegmentation.

python tools/train.py configs/pretrain/wamim_vit-b.py --cfg-options data_root=DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ..image_files import MAX_BAD_SHARE
from .errors import CommandParser, command, share
from .launch import add_common_arguments, build_runner, load_config
from .settings import is_first_process, process_count
from .visualizers import add_backends, add_log_to
from .work_dir import claim_work_dir, holds_checkpoint, note_start, started_before

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.hooks import Hook


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
    add_max_bad_share(parser)
    add_log_to(parser)
    add_common_arguments(parser)
    return parser.parse_args()


def add_max_bad_share(parser: argparse.ArgumentParser) -> None:
    """Let a command understand ``--max-bad-share``."""
    parser.add_argument(
        '--max-bad-share',
        type=share,
        default=MAX_BAD_SHARE,
        metavar='S',
        help='stop where more of the files that were tried are bad, 0 to 1 (%(default)s)',
    )


@command
def main() -> None:
    """Train, or go on with a run that was interrupted."""
    args = parse_args()
    cfg = load_config(args)
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise ValueError(f'{args.config} has no auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    add_backends(cfg, args.log_to)
    resume_by = 'the same command with --resume'
    if args.resume not in (None, 'auto'):
        resume_by += f' alone, in place of --resume {args.resume},'
    train(
        cfg,
        args.resume,
        allow_partial_backbone=args.allow_partial_backbone,
        amp=args.amp,
        max_bad_share=args.max_bad_share,
        max_hours=args.max_hours,
        resume_by=resume_by,
    )


def train(
    cfg: Config,
    resume: str | None,
    allow_partial_backbone: bool = False,
    amp: str | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    max_hours: float | None = None,
    hooks: Sequence[Hook] = (),
    resume_by: str = 'the same command with --resume',
) -> None:
    """Train with a config that `load_config` has read, in a work dir of its own.

    Args:
        cfg: The config.
        resume: A checkpoint to go on from; ``'auto'`` for the latest one in the work dir, if there
            is one; None for a run from its beginning.
        allow_partial_backbone: As for `build_runner`.
        amp: As for `build_runner`.
        max_bad_share: As for `build_runner`.
        max_hours: When to save and end; None for no limit.
        hooks: More hooks for this run, which are no part of its config.
        resume_by: What goes on with the run, for the message of one that was told to stop.

    Raises:
        RuntimeError: Another process of the job has failed, or is gone.
        ValueError: The work dir is in use, or holds a run that does not go on; or a process of the
            job differs from the first.
        SystemExit: With 75, where it was told to stop and has saved.
    """
    several = process_count(cfg.launcher) > 1
    if several:
        from .several import SameStateHook, agree, together
    with together(cfg) if several else nullcontext() as heartbeat:
        again = started_before()
        if resume is None and cfg.get('resume'):
            resume = cfg.get('load_from') or 'auto'
        if several:
            resume, again = agree(cfg.work_dir, resume, again)
        elif again and holds_checkpoint(cfg.work_dir):
            resume = 'auto'
        claim_work_dir(cfg.work_dir, again or bool(resume), is_first_process())
        note_start()
        if resume == 'auto' and not holds_checkpoint(cfg.work_dir):
            cfg.resume = False
            if is_first_process():
                print(
                    f'--resume: no checkpoint in {cfg.work_dir}, the run starts from its beginning'
                )
        elif resume:
            cfg.resume = True
            cfg.load_from = None if resume == 'auto' else resume
        runner = build_runner(
            cfg,
            ('train_dataloader', 'val_dataloader'),
            strict=bool(cfg.get('resume')),
            allow_partial_backbone=allow_partial_backbone,
            amp=amp,
            max_bad_share=max_bad_share,
            heartbeat=heartbeat,
        )
        runner.register_hook(dict(type='StopHook', max_hours=max_hours, resume_by=resume_by))
        if several:
            runner.register_hook(SameStateHook())
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()


if __name__ == '__main__':
    main()
