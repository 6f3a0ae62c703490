"""MMEngine's ``auto_scale_lr`` leaves out accumulated batches, and the rate that it logs.

It does not count the batches whose gradients are accumulated. And where parameters are in several
groups, the log's ``base_lr``, which is none of theirs, stays as it was.
"""

import functools
from typing import Any


def install() -> None:
    """Let both Runners count all batches of a step, ``accumulative_counts`` of them."""
    from mmengine._strategy import BaseStrategy
    from mmengine.runner.runner import Runner

    scale_lr, of_strategy = Runner.scale_lr, BaseStrategy._scale_lr
    if hasattr(scale_lr, '__wrapped__'):
        return

    @functools.wraps(scale_lr)
    def with_accumulation(runner: Any, optim_wrapper: Any, auto_scale_lr: dict | None = None):
        if auto_scale_lr is None or not auto_scale_lr.get('enable', False):
            return scale_lr(runner, optim_wrapper, auto_scale_lr)
        counts = getattr(optim_wrapper, '_accumulative_counts', 1)
        if 'base_batch_size' in auto_scale_lr and counts > 1:
            runner.logger.info(f'A step takes {counts} batches (accumulative_counts).')
            base = auto_scale_lr['base_batch_size'] / counts
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        before = _rates(optim_wrapper)
        scale_lr(runner, optim_wrapper, auto_scale_lr)
        _scale_base(optim_wrapper, before)

    Runner.scale_lr = with_accumulation

    @functools.wraps(of_strategy)
    def with_accumulation_too(strategy: Any) -> None:
        auto_scale_lr = strategy._auto_scale_lr
        if auto_scale_lr is None or not auto_scale_lr.get('enable', False):
            return of_strategy(strategy)
        counts = getattr(strategy.optim_wrapper, '_accumulative_counts', 1)
        if 'base_batch_size' in auto_scale_lr:
            base = auto_scale_lr['base_batch_size'] / counts
            strategy._auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        before = _rates(strategy.optim_wrapper)
        of_strategy(strategy)
        _scale_base(strategy.optim_wrapper, before)

    BaseStrategy._scale_lr = with_accumulation_too


def _wrappers(optim_wrapper: Any) -> list[Any]:
    """The wrapper of each optimizer."""
    from mmengine.optim import OptimWrapperDict

    several = isinstance(optim_wrapper, OptimWrapperDict)
    return list(optim_wrapper.values()) if several else [optim_wrapper]


def _rates(optim_wrapper: Any) -> list[float]:
    return [wrapper.optimizer.param_groups[0]['lr'] for wrapper in _wrappers(optim_wrapper)]


def _scale_base(optim_wrapper: Any, before: list[float]) -> None:
    """Scale the settings that all groups come from as the rates were scaled."""
    after = _rates(optim_wrapper)
    for wrapper, old, new in zip(_wrappers(optim_wrapper), before, after, strict=True):
        if wrapper.base_param_settings and old:
            wrapper.base_param_settings['lr'] *= new / old
