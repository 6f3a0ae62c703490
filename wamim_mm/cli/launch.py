"""From the command line to a Runner: what all commands that run one have in common."""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..class_names import import_custom_modules, library_of, name_pretrained
from ..image_files import BAD_FILES, MAX_BAD_SHARE
from ..interop.data_root import move_data_root
from .arguments import check_arguments, check_values
from .checks import (
    check_data,
    count_images,
    read_config,
    use_image_folder,
    use_shards,
)
from .deepspeed import loads_own
from .errors import positive
from .options import check_options
from .own_classes import use_own_classes
from .own_data import use_own_data
from .schedule import follow_length
from .settings import (
    check_batch,
    check_checkpoint,
    check_clipping,
    check_folder,
    check_launcher,
    check_length,
    check_loader,
    check_outside,
    check_timeout,
    complete_environment,
    is_first_process,
    pretrained_files,
    process_count,
)
from .work_dir import holds_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.hooks import Hook
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
    add_cfg_options(parser)
    parser.add_argument(
        '--num-classes',
        type=positive,
        metavar='N',
        help="of a classifier's own class folders, in place of ImageNet's 1000",
    )
    parser.add_argument(
        '--data',
        metavar='DIR',
        help='a folder of your own: class folders, COCO files, or images and label maps',
    )
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    # torchrun of old versions passes it; MMEngine reads the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_cfg_options(parser: ArgumentParser) -> None:
    """Let a command understand ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        default={},
        metavar='KEY=VALUE',
        help='change the config, for example data_root=DIR or train_dataloader.batch_size=64',
    )


#: Spaces inside of a word, and not beside a comma or a bracket.
_INNER_SPACES = re.compile(r'(?<=[^\s,(\[=]) +(?=[^\s,)\]])')
#: What stands for such a space while MMEngine parses, which removes spaces; no argument has it.
_SPACE = '\0'


class _Options(Action):
    """MMEngine's ``DictAction``, imported where it has something to parse.

    It removes spaces; here those within a word stay, as in the name of a folder or class.
    """

    def __call__(self, *given) -> None:
        from mmengine.config import DictAction

        parser, namespace, options, *_ = given
        for option in options:
            if '=' not in option:
                parser.error(f'{self.option_strings[0]} {option}: say KEY=VALUE, without spaces')
            if 'dict(' in option:
                parser.error(
                    f'{self.option_strings[0]} {option}: a value is a number, a word, a list or a '
                    'tuple; set the parts of a dict one by one, KEY.PART=VALUE, or in a config'
                )
        kept = [_INNER_SPACES.sub(lambda gap: _SPACE * len(gap[0]), option) for option in options]
        DictAction(self.option_strings, self.dest)(parser, namespace, kept)
        parsed = {key: _with_spaces(value) for key, value in vars(namespace)[self.dest].items()}
        setattr(namespace, self.dest, parsed)


def _with_spaces(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_with_spaces(part) for part in value)
    return value.replace(_SPACE, ' ') if isinstance(value, str) else value


def merge_options(cfg: Config, options: dict[str, Any]) -> str | None:
    """Change a config as ``--cfg-options`` say, and what follows from that.

    Args:
        cfg: The config, changed in place.
        options: Values by dotted key.

    Returns:
        A line that says what was moved with the run's length; None where that is the file's.

    Raises:
        ValueError: An option sets what nothing reads, or a value that cannot be.
    """
    check_options(cfg, options)
    new = check_values(cfg, options)
    moved = follow_length(cfg, options)
    if 'data_root' in options:
        move_data_root(cfg, options['data_root'])
    cfg.merge_from_dict(options)
    check_arguments(cfg, new)
    return moved


def load_config(args: Namespace, folder: str = '') -> Config:
    """Read the config that the arguments name and merge them into it.

    Args:
        args: The arguments.
        folder: Where in the work dir of a run the command writes. The run's config lies in it: an
            evaluation must not write its own over that.

    Raises:
        FileNotFoundError: There is no such config, or the data lacks something.
        ImportError: There is no such library, or module of ``custom_imports``.
        ValueError: An option sets what nothing reads or a value that cannot be, no class has the
            name of the model's, the work dir is no folder, or the launcher is not the one that has
            started this process.
    """
    check_launcher(args.launcher)
    complete_environment(args.launcher, args.local_rank)
    cfg = read_config(args.config)
    if getattr(args, 'data', None) is not None:
        trains = not hasattr(args, 'checkpoint')
        line = use_own_data(cfg, args.data, _own_checkpoint(args, cfg), trains)
        if is_first_process():
            print(line, flush=True)
    moved = merge_options(cfg, args.cfg_options)
    if moved and is_first_process():
        print(moved, flush=True)
    if getattr(args, 'num_classes', None) is not None:
        use_own_classes(cfg, args.num_classes, LOADERS)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
        if folder and holds_checkpoint(cfg.work_dir):
            cfg.work_dir = str(Path(cfg.work_dir, folder))
    else:
        cfg.work_dir = str(Path(_default_work_dir(cfg), folder))
    check_folder(cfg.work_dir, '--work-dir')
    library = library_of(cfg)
    if not cfg.get('default_scope') and library:
        # MMEngine's 'mmengine' would not find the parts that the library's models add themselves.
        cfg.default_scope = library
    if library == 'mmpretrain':
        # In mmpretrain's own configs it is missing: mmpretrain's tools set it.
        for name in LOADERS:
            if cfg.get(name) is not None:
                cfg[name].setdefault('collate_fn', dict(type='default_collate'))
    return cfg


def _own_checkpoint(args: Namespace, cfg: Config) -> str | None:
    """The checkpoint that is tested, or from which a run goes on; or the work dir with it."""
    resumed = getattr(args, 'resume', None)
    if resumed == 'auto':
        return args.work_dir or _default_work_dir(cfg)
    return getattr(args, 'checkpoint', resumed)


def _default_work_dir(cfg: Config) -> str:
    return cfg.get('work_dir') or str(Path('work_dirs') / Path(cfg.filename).stem)


def build_runner(
    cfg: Config,
    loaders: tuple[str, ...],
    strict: bool,
    allow_partial_backbone: bool = False,
    amp: str | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    heartbeat: Hook | None = None,
) -> Runner:
    """Build the Runner of a config, after checks of the data that it will read.

    A line on the screen says what it will do, before torch is imported.

    Args:
        cfg: The config.
        loaders: Names of the data loaders that the job uses.
        strict: Whether a checkpoint must hold every tensor of the model.
        allow_partial_backbone: Whether a pre-trained backbone may fit in part.
        amp: Mixed precision, as in `precision.use_amp`; None for none.
        max_bad_share: Of the training set's files, the share that may be bad, 0 to 1.
        heartbeat: The heartbeats of several processes, where they have begun.

    Raises:
        FileNotFoundError: A data root, image folder or annotation file is missing or empty.
        ImportError: A library is missing, too old, or does not fit another.
        ValueError: A data set does not fit its files, the other data sets or the model (see
            `check_datasets`), or the device lacks the precision.
    """
    said = [f'{cfg.filename} -> {cfg.work_dir}']
    check_timeout(cfg.get('env_cfg') or {})
    if 'train_dataloader' in loaders:
        check_length(cfg.get('train_cfg') or {})
        check_clipping(cfg.get('optim_wrapper') or {})
    if cfg.get('load_from'):
        if not loads_own(cfg):
            check_checkpoint(cfg.load_from)
    elif 'train_dataloader' in loaders:
        for key, path in pretrained_files(cfg.get('model') or {}, 'model'):
            check_checkpoint(path, key)
    for name in loaders:
        if cfg.get(name) is not None:
            check_loader(name, cfg[name])
            dataset = cfg[name].dataset
            use_shards(dataset)
            folder = use_image_folder(dataset, cfg)
            if folder is not None and name == 'train_dataloader':
                check_outside(cfg.work_dir, folder, '--work-dir')
            if folder is not None and is_first_process():  # a million names, once
                count, line = count_images(folder, dataset.extensions)
                check_batch(name, cfg[name], count, process_count(cfg.launcher))
                said.append(line)
            check_data(dataset)
    if is_first_process():
        print('\n'.join(said), flush=True)

    # From here on torch and the libraries that the config needs are imported.
    from mmengine.dist import sync_random_seed

    from .. import register
    from ..data.checks import check_datasets
    from ..data.format_checks import check_formats
    from ..data.seeding import seed_draws
    from ..data.shards import check_shards
    from ..interop.distributed import (
        end_with_launcher,
        meet_anew,
        timeout_of,
        unusable_gpu,
        use_cpu_processes,
    )
    from .flexible import make_runner
    from .precision import use_amp
    from .screen import FirstStepHook
    from .seed import settle_seed

    if amp:
        use_amp(cfg, amp)
    register()
    import_custom_modules(cfg)
    name_pretrained(cfg.get('model'))
    if is_first_process() and (line := unusable_gpu()):
        print(line, flush=True)
    use_cpu_processes(cfg)
    if cfg.launcher == 'pytorch':
        end_with_launcher()
        meet_anew()
    if 'train_dataloader' in loaders:
        settle_seed(cfg)
        if process_count(cfg.launcher) > 1:
            # The saved config says what a step was.
            cfg.processes = process_count(cfg.launcher)
    runner = make_runner(cfg, trains='train_dataloader' in loaders)
    # Behind the config, which is saved with the run and may be used again as it was given.
    for hook in (
        dict(type='CheckpointFitHook', strict=strict),
        dict(type='PretrainedFitHook', allow_partial=allow_partial_backbone),
        dict(type='ClassCountHook'),
        dict(type='LoaderFitHook'),
        dict(type='ResumeHook'),
        dict(type='EpochPositionHook'),
        dict(type='MissedValidationHook'),
        dict(type='FiniteStepsHook'),
        dict(type='FiniteWeightsHook'),
    ):
        _register(runner, hook)
    runner.register_hook(FirstStepHook())
    if runner.world_size > 1:
        if heartbeat is None:
            _register(runner, dict(type='HeartbeatHook', timeout=timeout_of(cfg)))
        else:
            runner.register_hook(heartbeat)
    loader, seed = runner._train_dataloader, cfg.get('randomness', {}).get('seed')
    if 'train_dataloader' in loaders and isinstance(loader, dict):
        bad_files = Path(cfg.work_dir, BAD_FILES)
        if is_first_process() and not cfg.get('resume'):
            bad_files.unlink(missing_ok=True)  # of a start that came to nothing
        seed_draws(loader, sync_random_seed() if seed is None else seed, str(bad_files))
        _register(runner, dict(type='BadFilesHook', max_share=max_bad_share))
        _register(runner, dict(type='HealthHook'))
        if seed is not None:
            runner.register_hook(dict(type='StepSeedHook', seed=seed))
    # Annotations are read now and not when training begins, so that errors appear at once.
    check_datasets(runner, loaders)
    for name in loaders:
        place = name.replace('dataloader', 'loop')
        if cfg.get(name) is not None and getattr(runner, f'_{place}') is not None:
            loop = getattr(runner, place)
            loader = loop.dataloader
            check_fills_a_batch(name, loop)
            if is_first_process():
                training = name == 'train_dataloader'
                share = max_bad_share if training else 0
                check_shards(loader.dataset, share)
                check_formats(loader.dataset, runner.model, name, share)
    if 'train_dataloader' in loaders:
        warn_of_late_saves(runner)
    if runner.world_size > 1:
        from .several import compare_data

        compare_data(runner, loaders)
    return runner


def _register(runner: Runner, hook: dict) -> None:
    """Register a hook, unless the config has one of this type with settings of its own."""
    if all(type(other).__name__ != hook['type'] for other in runner.hooks):
        runner.register_hook(hook)


def warn_of_late_saves(runner: Runner) -> None:
    """Warn where a run of iterations saves by epochs, which it does not have until its end."""
    from mmengine.hooks import CheckpointHook
    from mmengine.runner import EpochBasedTrainLoop

    saves = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if not isinstance(runner.train_loop, EpochBasedTrainLoop) and any(h.by_epoch for h in saves):
        runner.logger.warning(
            'the run is measured in iterations and its checkpoints in epochs, so that it saves at '
            'its end alone; set default_hooks.checkpoint.by_epoch=False, .interval in iterations, '
            'and log_processor.by_epoch=False'
        )


def check_fills_a_batch(name: str, loop: Any) -> None:
    """Raise ValueError where a loop's data loader yields no batch, or an epoch of it has no end.

    `check_batch` finds the former for folders, before the data set is built.
    """
    from mmengine.dataset import InfiniteSampler
    from mmengine.dist import get_world_size
    from mmengine.runner import IterBasedTrainLoop

    loader = loop.dataloader
    sampler = getattr(loader.sampler, 'sampler', loader.sampler)
    endless = isinstance(sampler, InfiniteSampler)
    if endless and not isinstance(loop, IterBasedTrainLoop):
        raise ValueError(
            f'{name}.sampler is an InfiniteSampler, with which the first epoch has no end; set '
            f'{name}.sampler.type=DefaultSampler, or count iterations, as '
            'train_cfg=dict(type="IterBasedTrainLoop", max_iters=...)'
        )
    if not len(loader) and not endless:
        given = dict(batch_size=loader.batch_size, drop_last=True)
        check_batch(name, given, len(loader.dataset), get_world_size())
