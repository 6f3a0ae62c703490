"""The config that a checkpoint holds is not run when it is resumed.

MMEngine's two runners parse ``meta['config']`` as a Python config, which is a program, to compare
the number of GPUs with that of MMCV's old runners. A file of somebody else would run code there,
whatever `weights_only` has refused before. Upstream: leave these lines out, as no checkpoint of
MMEngine has the key.
"""

import functools
from collections.abc import Callable
from typing import Any


def _without_config(load: Callable[..., dict]) -> Callable[..., dict]:
    """A function that returns a checkpoint, and now one without that text."""

    @functools.wraps(load)
    def loaded(*args: Any, **kwargs: Any) -> dict:
        checkpoint = load(*args, **kwargs)
        meta = checkpoint.get('meta')
        if isinstance(meta, dict):
            meta.pop('config', None)
        return checkpoint

    return loaded


def _resume(resume: Callable[..., None]) -> Callable[..., None]:
    """`FlexibleRunner.resume`, which gets its checkpoint from a strategy of any kind."""

    @functools.wraps(resume)
    def resumed(runner: Any, *args: Any, **kwargs: Any) -> None:
        runner.strategy.resume = _without_config(runner.strategy.resume)
        resume(runner, *args, **kwargs)

    return resumed


def install() -> None:
    """Let neither Runner find the text; calling it again is harmless."""
    from mmengine.runner import FlexibleRunner, Runner

    if not hasattr(Runner.load_checkpoint, '__wrapped__'):
        Runner.load_checkpoint = _without_config(Runner.load_checkpoint)
        FlexibleRunner.resume = _resume(FlexibleRunner.resume)
