"""The config that an inferencer finds in a checkpoint is read as data.

``DetInferencer(weights=FILE)`` and mmsegmentation's take the config out of the file, and MMEngine
runs it as a program. Upstream: `parse_config`, `check_untrusted` and `registered_only`.
"""

import functools
from collections.abc import Callable
from typing import Any

from ..saved_config import parse_config
from .untrusted import check_untrusted, registered_only


def _config_of(weights: str) -> Any:
    """The config in a checkpoint.

    Raises:
        ValueError: There is none, or it is not one that is read as data.
    """
    from mmengine.config import ConfigDict
    from mmengine.runner import CheckpointLoader

    checkpoint = CheckpointLoader.load_checkpoint(weights, map_location='cpu', logger='silent')
    hub, meta = checkpoint.get('message_hub', {}), checkpoint.get('meta', {})
    text = hub.get('runtime_info', {}).get('cfg', meta.get('cfg'))
    fix = "give the config beside it: model='CONFIG.py'"
    if text is None:
        raise ValueError(f'{weights} does not hold the config of its run; {fix}')
    try:
        config = parse_config(text)
        check_untrusted(config)
    except ValueError as error:
        raise ValueError(f'the config in {weights} cannot be used: {error}; {fix}') from None
    # An inferencer is told where to write when it is called; the config would say so as well.
    for key in ('vis_backends', 'save_dir'):
        config.get('visualizer', {}).pop(key, None)
    return ConfigDict(config)


def _with_own_config(init: Callable[..., None]) -> Callable[..., None]:
    """`BaseInferencer.__init__`, which is given the config where it would look for it."""

    @functools.wraps(init)
    def initialized(
        inferencer: Any, model: Any = None, weights: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        if model is not None or weights is None:
            init(inferencer, model, weights, *args, **kwargs)
            return
        with registered_only():
            init(inferencer, _config_of(weights), weights, *args, **kwargs)

    return initialized


def install() -> None:
    """Let every inferencer of MMEngine's kind do so; calling it again is harmless."""
    from mmengine.infer.infer import BaseInferencer

    if not hasattr(BaseInferencer.__init__, '__wrapped__'):
        BaseInferencer.__init__ = _with_own_config(BaseInferencer.__init__)
