"""What ``--cfg-options`` may set below the top of a config, and to which values.

`options.check_options` knows the keys at the top. Further down it is the arguments of classes that
are set, and a key that no class takes ends a run after its start, or is dropped without a word.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

#: Dicts whose keys MMEngine looks up one by one.
FIXED = {
    'auto_scale_lr': ('base_batch_size', 'enable'),
    'env_cfg': ('cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'),
    'env_cfg.mp_cfg': ('mp_start_method', 'opencv_num_threads'),
    'randomness': ('deterministic', 'diff_rank_seed', 'seed'),
}
#: Hooks that have a type without being given one.
DEFAULT_HOOKS = {
    'runtime_info': 'RuntimeInfoHook',
    'timer': 'IterTimerHook',
    'sampler_seed': 'DistSamplerSeedHook',
    'logger': 'LoggerHook',
    'param_scheduler': 'ParamSchedulerHook',
    'checkpoint': 'CheckpointHook',
}
#: Read before a class is built, by MMEngine itself.
TAKEN = {
    'optim_wrapper': ('constructor', 'paramwise_cfg', 'dtype', 'loss_scale'),  # the last by --amp
    'param_scheduler': ('convert_to_iter_based',),
    'default_hooks': ('priority',),
    'custom_hooks': ('priority',),
    'train_cfg': ('by_epoch',),
    'train_dataloader': ('num_batch_per_epoch',),
    'val_dataloader': ('num_batch_per_epoch',),
    'test_dataloader': ('num_batch_per_epoch',),
}
#: Arguments that are a file or a folder.
PATHS = ('ann_file', 'checkpoint', 'data_root', 'load_from', 'work_dir')
#: Arguments that are a number or a word.
NUMBER_OR_WORD = ('loss_scale', 'padding')


def check_values(cfg: Config, options: dict[str, Any]) -> list[str]:
    """Hold values and places of ``--cfg-options`` against those that the config has.

    Args:
        cfg: The config before they are merged into it.
        options: Values by dotted key.

    Returns:
        The keys that the config does not have yet, for `check_arguments`.

    Raises:
        ValueError: A number or a truth value would become a word, a folder a number, or the key
            leads through a list or a number where nothing is.
    """
    new = []
    for key, value in options.items():
        if key.split('.')[-1] in PATHS and isinstance(value, int | float | list | tuple):
            kind = 'list' if isinstance(value, list | tuple) else 'number'
            raise ValueError(
                f'--cfg-options {key}: MMEngine reads {value!r}, a {kind}; write ./NAME for a '
                'folder or file that a number names, and give a link for one with commas'
            )
        place: Any = cfg._cfg_dict
        here: list[str] = []
        for name in key.split('.'):
            path = '.'.join(here)
            if isinstance(place, list | tuple):
                if not name.isdigit() or int(name) >= len(place):
                    raise ValueError(
                        f'--cfg-options {key}: {path} is a list of {len(place)}; {name} must be '
                        f'the number of an item, from 0 to {len(place) - 1}'
                    )
                place = place[int(name)]
            elif isinstance(place, dict) and name in place:
                place = place[name]
            elif isinstance(place, bool | int | float):
                raise ValueError(
                    f'--cfg-options {key}: {path} is {place} in this config, which has no keys; '
                    f'set {path} itself'
                )
            else:
                new.append(key)
                break
            here.append(name)
        else:
            kind = 'True or False' if isinstance(place, bool) else 'a number'
            number = isinstance(place, bool | int | float)
            if number and isinstance(value, str) and here[-1] not in NUMBER_OR_WORD:
                raise ValueError(
                    f'--cfg-options {key}={value}: must be {kind}, as {place} in this config'
                )
    return new


def check_arguments(cfg: Config, new: list[str]) -> None:
    """Hold keys against the arguments of the classes that get them.

    The libraries that the config needs are imported, if there is such a key. Where a class takes
    any keyword, only what looks like a mistyped argument is refused.

    Args:
        cfg: The config with the options.
        new: The keys that its file does not have.

    Raises:
        ImportError: A library is missing.
        ValueError: A class does not take a key; the message names the nearest one that it takes.
    """
    nested = [key for key in new if '.' in key]
    if not nested:
        return
    from .. import register
    from ..class_names import import_custom_modules

    register()
    import_custom_modules(cfg)
    for key in nested:
        names, place = key.split('.'), cfg._cfg_dict
        for depth, name in enumerate(names):
            path = names[:depth]
            if isinstance(place, dict):
                _check_argument(cfg, key, path, place, name)
            place = place[int(name)] if isinstance(place, list | tuple) else place[name]


def _check_argument(cfg: Config, key: str, path: list[str], place: dict, name: str) -> None:
    dotted = '.'.join(path)
    if not path or name in ('type', '_scope_', '_delete_'):
        return
    if dotted in FIXED:
        arguments, any_other, owner = set(FIXED[dotted]), False, dotted
    elif dotted == 'default_hooks':
        if name in DEFAULT_HOOKS or 'type' in (place[name] or {}):
            return
        arguments, any_other, owner = set(DEFAULT_HOOKS), False, 'a hook without a type'
    else:
        cls = _class(cfg, path, place)
        if cls is None:
            return
        arguments, any_other = _arguments(cls)
        arguments |= set(TAKEN.get(path[0], ()))
        owner = cls.__name__
    near = get_close_matches(name, arguments, n=1, cutoff=0.8 if any_other else 0.6)
    if name in arguments or (any_other and not near):
        return
    hint = (
        f'did you mean {".".join([*path, near[0]])}?'
        if near
        else f'there are {", ".join(sorted(arguments))}'
    )
    raise ValueError(f'--cfg-options {key}: {owner} has no {name}; {hint}')


def _class(cfg: Config, path: list[str], place: dict) -> Any:
    """What is built from a part of a config; None where that is not certain."""
    from mmengine import registry
    from torch.utils.data import DataLoader

    top, last = path[0], path[-1]
    kind = place.get('type')
    if top.endswith('_dataloader'):
        if len(path) == 1:
            return DataLoader
        within = [part for part in path[1:] if not part.isdigit()]
        kinds = {'pipeline': registry.TRANSFORMS, 'sampler': registry.DATA_SAMPLERS}
        found = kinds.get(within[-1])
        if found is None and within[-1] in ('dataset', 'datasets'):
            found = registry.DATASETS
    elif top == 'default_hooks':
        found, kind = registry.HOOKS, kind or DEFAULT_HOOKS.get(last)
        if len(path) > 2:
            return None
    elif top == 'train_cfg':
        found = registry.LOOPS
        by_epoch = place.get('by_epoch', True)
        kind = kind or ('EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop')
    elif top in ('val_cfg', 'test_cfg'):
        found, kind = registry.LOOPS, kind or f'{top[:-4].title()}Loop'
    elif top == 'optim_wrapper':
        found = {1: registry.OPTIM_WRAPPERS, 2: registry.OPTIMIZERS}.get(len(path))
        if len(path) == 2 and last != 'optimizer':
            return None
        kind = kind or ('OptimWrapper' if len(path) == 1 else None)
    elif any(part.endswith('_cfg') for part in path[1:]):
        return None  # read in part by who builds it, as norm_cfg.requires_grad is
    else:
        found = {
            'model': registry.MODELS,
            'data_preprocessor': registry.MODELS,
            'param_scheduler': registry.PARAM_SCHEDULERS,
            'custom_hooks': registry.HOOKS,
            'log_processor': registry.LOG_PROCESSORS,
            'strategy': registry.STRATEGIES,
            'val_evaluator': registry.METRICS,
            'test_evaluator': registry.METRICS,
        }.get(top)
        if top == 'log_processor':
            kind = kind or 'LogProcessor'
    if found is None or kind is None:
        return None
    if not isinstance(kind, str):
        return kind
    with found.switch_scope_and_registry(place.get('_scope_', cfg.get('default_scope'))) as scoped:
        return scoped.get(kind)


def _arguments(cls: Any) -> tuple[set[str], bool]:
    """Names of the arguments of a class or function, and whether it may take others."""
    inits = [base.__dict__.get('__init__') for base in getattr(cls, '__mro__', [])[:-1]]
    names: set[str] = set()
    for depth, call in enumerate(filter(None, inits) if inspect.isclass(cls) else [cls]):
        parameters = inspect.signature(call).parameters.values()
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            # Of a base class: it may not get all that its child takes.
            return names, depth > 0
    return names, True
