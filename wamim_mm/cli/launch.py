"""From the command line to a Runner: what all commands that run one have in common."""

from __future__ import annotations

import os
from argparse import Action, ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checks import (
    check_data,
    count_images,
    import_custom_modules,
    read_config,
    use_image_folder,
)
from .options import check_options

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def add_common_arguments(parser: ArgumentParser) -> None:
    """Arguments that every command which runs a config understands."""
    parser.add_argument('--work-dir', help='where logs and checkpoints go (work_dirs/<config>)')
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=('auto', 'bf16', 'fp16'),
        help='automatic mixed precision; a plain --amp is bf16 where the device has it',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        default={},
        metavar='KEY=VALUE',
        help='change the config, for example data_root=DIR or train_dataloader.batch_size=64',
    )
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    # torchrun of old versions passes it; MMEngine reads the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


class _Options(Action):
    """MMEngine's ``DictAction``, imported where it has something to parse."""

    def __call__(self, *given) -> None:
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest)(*given)


def load_config(args: Namespace, folder: str = '') -> Config:
    """Read the config that the arguments name and merge them into it.

    Args:
        args: The arguments.
        folder: Where in the default work dir the command writes. A run's config lies in the work
            dir: an evaluation must not write its own over it.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: An option sets what nothing reads.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    check_options(cfg, args.cfg_options)
    if 'data_root' in args.cfg_options:
        _move_data_root(cfg, args.cfg_options['data_root'])
    cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    else:
        default = cfg.get('work_dir') or Path('work_dirs') / Path(args.config).stem
        cfg.work_dir = str(Path(default) / folder)
    if cfg.get('default_scope') == 'mmpretrain':
        # In mmpretrain's own configs it is missing: mmpretrain's tools set it.
        for name in LOADERS:
            if cfg.get(name) is not None:
                cfg[name].setdefault('collate_fn', dict(type='default_collate'))
    return cfg


def build_runner(
    cfg: Config,
    loaders: tuple[str, ...],
    strict: bool,
    allow_partial_backbone: bool = False,
    amp: str | None = None,
) -> Runner:
    """Build the Runner of a config, after checks of the data that it will read.

    A line on the screen says what it will do, before torch is imported.

    Args:
        cfg: The config.
        loaders: Names of the data loaders that the job uses.
        strict: Whether a checkpoint must hold every tensor of the model.
        allow_partial_backbone: Whether a pre-trained backbone may fit in part.
        amp: Mixed precision, as in `precision.use_amp`; None for none.

    Raises:
        FileNotFoundError: A data root, image folder or annotation file is missing or empty.
        ImportError: A library is missing, too old, or does not fit another.
        ValueError: An annotation file is damaged or of other classes, or the device lacks the
            precision.
    """
    said = [f'{cfg.filename} -> {cfg.work_dir}']
    for name in loaders:
        if cfg.get(name) is not None:
            dataset = cfg[name].dataset
            folder = use_image_folder(dataset)
            if folder is not None and _is_first_process():  # a million names, once
                said.append(count_images(folder, dataset.extensions))
            check_data(dataset)
    if _is_first_process():
        print('\n'.join(said), flush=True)

    # From here on torch and the libraries that the config needs are imported.
    from mmengine.registry import RUNNERS

    from .. import register
    from ..data.checks import check_annotations
    from ..data.format_checks import check_formats
    from ..data.seeding import seed_draws
    from ..interop.distributed import use_cpu_processes
    from .precision import use_amp
    from .screen import QuietRunner

    register()
    import_custom_modules(cfg)
    if amp:
        use_amp(cfg, amp)
    use_cpu_processes(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else QuietRunner.from_cfg(cfg)
    # Behind the config, which is saved with the run and may be used again as it was given.
    for hook in (
        dict(type='CheckpointFitHook', strict=strict),
        dict(type='PretrainedFitHook', allow_partial=allow_partial_backbone),
        dict(type='ClassCountHook'),
    ):
        runner.register_hook(hook)
    loader, seed = runner._train_dataloader, cfg.get('randomness', {}).get('seed')
    if isinstance(loader, dict) and seed is not None:
        seed_draws(loader, seed)
    for name in loaders:
        # Annotations are read now and not when training begins, so that errors appear at once.
        loop = name.replace('dataloader', 'loop')
        if cfg.get(name) is not None and getattr(runner, f'_{loop}') is not None:
            check_annotations(
                partial(_dataset_of, runner, loop),
                cfg[name].dataset,
                cfg.get('default_scope'),
            )
            if _is_first_process():
                check_formats(_dataset_of(runner, loop), runner.model, name)
    return runner


def _dataset_of(runner: Runner, loop: str) -> Any:
    return getattr(runner, loop).dataloader.dataset


def _is_first_process() -> bool:
    """Whether this is the first process, before there is a process group.

    Each launcher sets another variable for it.
    """
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return next((os.environ[name] for name in names if name in os.environ), '0') == '0'


def _move_data_root(cfg: Config, new: str) -> None:
    """Make every path under the config's old ``data_root`` a path under the new one."""
    old = cfg.get('data_root')
    if not old:
        raise ValueError('this config has no data_root; set the data_root of its dataloaders')

    def moved(value):
        if isinstance(value, dict):
            for key in value:
                value[key] = moved(value[key])
        elif isinstance(value, list | tuple):
            return type(value)(moved(item) for item in value)
        elif isinstance(value, str) and value.startswith(old):
            tail = value.removeprefix(old)
            # 'data/coco' does not own 'data/coco_stuff'
            if not tail or old.endswith('/') or tail.startswith('/'):
                return os.path.join(new, tail.lstrip('/')) if tail else new
        return value

    moved(cfg._cfg_dict)
