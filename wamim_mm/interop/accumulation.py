"""MMEngine's ``auto_scale_lr`` does not count the batches whose gradients are accumulated."""

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
        counts = getattr(optim_wrapper, '_accumulative_counts', 1)
        if auto_scale_lr is not None and 'base_batch_size' in auto_scale_lr and counts > 1:
            if auto_scale_lr.get('enable', False):
                runner.logger.info(f'A step takes {counts} batches (accumulative_counts).')
            base = auto_scale_lr['base_batch_size'] / counts
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        return scale_lr(runner, optim_wrapper, auto_scale_lr)

    Runner.scale_lr = with_accumulation

    @functools.wraps(of_strategy)
    def with_accumulation_too(strategy: Any) -> None:
        counts = getattr(strategy.optim_wrapper, '_accumulative_counts', 1)
        auto_scale_lr = strategy._auto_scale_lr
        if auto_scale_lr and 'base_batch_size' in auto_scale_lr:
            base = auto_scale_lr['base_batch_size'] / counts
            strategy._auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        of_strategy(strategy)

    BaseStrategy._scale_lr = with_accumulation_too
