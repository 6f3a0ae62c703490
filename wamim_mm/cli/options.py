"""What ``--cfg-options`` may set: a key that nothing reads changes nothing, and is refused."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

#: What MMEngine's Runners and our commands read at the top of a config. A config's other variables
#: are notes to itself: their values were used when the file was read.
READ = frozenset(
    [
        'activation_checkpointing',
        'auto_scale_lr',
        'cfg',
        'compile',
        'custom_hooks',
        'custom_imports',
        'data_preprocessor',
        'data_root',
        'default_hooks',
        'default_scope',
        'efficient_conv_bn_eval',
        'env_cfg',
        'experiment_name',
        'find_unused_parameters',
        'launcher',
        'load_from',
        'log_level',
        'log_processor',
        'model',
        'model_wrapper_cfg',
        'optim_wrapper',
        'param_scheduler',
        'preprocess_cfg',
        'randomness',
        'resume',
        'runner_type',
        'strategy',
        'sync_bn',
        'test_cfg',
        'test_dataloader',
        'test_evaluator',
        'train_cfg',
        'train_dataloader',
        'tta_model',
        'tta_pipeline',
        'val_cfg',
        'val_dataloader',
        'val_evaluator',
        'visualizer',
        'work_dir',
    ]
)
#: Variables of configs, and what takes their place on a command line.
MEANT = {
    'base_lr': 'optim_wrapper.optimizer.lr',
    'lr': 'optim_wrapper.optimizer.lr',
    'epochs': 'train_cfg.max_epochs',
    'num_classes': 'model.head.num_classes',
    'seed': 'randomness.seed',
}


def check_options(cfg: Config, options: dict[str, Any]) -> None:
    """Hold the keys of ``--cfg-options`` against what is read.

    Args:
        cfg: The config before they are merged into it.
        options: Values by dotted key.

    Raises:
        ValueError: Nothing reads a key; the message names the nearest one that is read.
    """
    for key in options:
        name = key.split('.')[0]
        if name in READ:
            continue
        live = [path for path in _paths(cfg) if path.split('.')[-1] == key.split('.')[-1]]
        near = get_close_matches(name, READ, n=1)
        meant = MEANT.get(key) or (near and key.replace(name, near[0], 1)) or (live and live[0])
        hint = (
            f'; did you mean {meant}?' if meant else f'; keys begin with {", ".join(sorted(READ))}'
        )
        raise ValueError(f'--cfg-options {key}: nothing reads this key{hint}')


def _paths(cfg: Any, prefix: str = '') -> Iterator[str]:
    """The dotted keys under what is read, shallow ones first."""
    items = [(key, value) for key, value in cfg.items() if prefix or key in READ]
    for key, _ in items:
        yield f'{prefix}{key}'
    for key, value in items:
        if isinstance(value, dict):
            yield from _paths(value, f'{prefix}{key}.')
