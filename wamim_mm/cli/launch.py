"""From the command line to a Runner: what the commands that run one share."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..data.checks import check_coco
from ..data.seeding import seed_draws
from ..interop.distributed import use_cpu_processes

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def add_common_arguments(parser: ArgumentParser) -> None:
    """Arguments that every command which runs a config understands."""
    parser.add_argument('--work-dir', help='where logs and checkpoints go (work_dirs/<config>)')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='change the config, for example data_root=DIR or train_dataloader.batch_size=64',
    )
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    # torchrun of old versions passes it; MMEngine reads the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: Namespace) -> Config:
    """Read the config that the arguments name and merge them into it.

    Raises:
        FileNotFoundError: There is no such config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        raise FileNotFoundError(f'config {args.config!r} does not exist')
    cfg = Config.fromfile(args.config)
    if 'data_root' in args.cfg_options:
        _move_data_root(cfg, args.cfg_options['data_root'])
    cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if cfg.get('default_scope') == 'mmpretrain':
        # mmpretrain's own configs count on its tools for this.
        for name in LOADERS:
            if cfg.get(name) is not None:
                cfg[name].setdefault('collate_fn', dict(type='default_collate'))
    return cfg


def build_runner(
    cfg: Config, loaders: tuple[str, ...], strict: bool, allow_partial_backbone: bool = False
) -> Runner:
    """Build the Runner of a config, after a look at the data that it will read.

    Args:
        cfg: The config.
        loaders: Names of the data loaders that the job uses.
        strict: Whether a checkpoint must hold every tensor of the model.
        allow_partial_backbone: Whether a pre-trained backbone may fit in part.

    Raises:
        FileNotFoundError: A data root, image folder or annotation file is missing or empty.
        ValueError: An annotation file is damaged or of other classes.
    """
    for name in loaders:
        if cfg.get(name) is not None:
            check_data(cfg[name].dataset)
            check_coco(cfg[name].dataset, cfg.get('default_scope'))
    seed = cfg.get('randomness', {}).get('seed')
    if 'train_dataloader' in loaders and cfg.get('train_dataloader') and seed is not None:
        seed_draws(cfg.train_dataloader, seed)
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or []),
        dict(type='CheckpointFitHook', strict=strict),
        dict(type='PretrainedFitHook', allow_partial=allow_partial_backbone),
        dict(type='ClassCountHook'),
    ]
    use_cpu_processes(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def check_checkpoint(path: str) -> None:
    """Raise FileNotFoundError unless it is there; other storages (``s3://``) are not looked at."""
    if not Path(path).is_file() and '://' not in path:
        raise FileNotFoundError(f'checkpoint {path!r} does not exist')


def check_data(dataset: dict) -> None:
    """Raise FileNotFoundError unless what the dataset's config names is there.

    Looks into wrappers (``dataset``, ``datasets``) too. Paths on other storages (``s3://``) are
    left to their owners.
    """
    for inner in [dataset.get('dataset'), *(dataset.get('datasets') or [])]:
        if inner:
            check_data(inner)
    root = dataset.get('data_root')
    if not root or '://' in root:
        return
    fix = 'set it with --cfg-options data_root=DIR'
    if not Path(root).is_dir():
        raise FileNotFoundError(f'data root {root!r} does not exist; {fix}')
    prefixes = dataset.get('data_prefix') or ''
    for prefix in prefixes.values() if isinstance(prefixes, dict) else [prefixes]:
        folder = Path(root, prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f'{str(folder)!r} does not exist; put the data there, or {fix}')
        if not any(folder.iterdir()):
            raise FileNotFoundError(f'{str(folder)!r} is empty; put the data there, or {fix}')
    annotations = dataset.get('ann_file')
    if annotations and not Path(root, annotations).is_file():
        raise FileNotFoundError(
            f'annotation file {str(Path(root, annotations))!r} does not exist; {fix}'
        )


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
