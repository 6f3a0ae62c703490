"""The config that a checkpoint holds is not run.

When MMEngine resumes, it parses ``meta['config']`` as a Python config, which is a program, to
compare the number of GPUs with that of MMCV's old runners. A file of somebody else would run code
there, whatever `weights_only` has refused before.
"""

import functools
from typing import Any


def install() -> None:
    """Let `Runner.resume` find no such text; calling it again is harmless."""
    from mmengine.runner.runner import Runner

    load = Runner.load_checkpoint
    if hasattr(load, '__wrapped__'):
        return

    @functools.wraps(load)
    def without_config(runner: Any, *args: Any, **kwargs: Any) -> dict:
        checkpoint = load(runner, *args, **kwargs)
        meta = checkpoint.get('meta')
        if isinstance(meta, dict):
            meta.pop('config', None)
        return checkpoint

    Runner.load_checkpoint = without_config
