"""A config's ``data_root`` is read where its file is; changed afterwards, it changes nothing.

MMEngine's option ``--cfg-options data_root=DIR`` comes afterwards, and so does
``Config.merge_from_dict``: the paths that were made of the old one stay. Upstream: follow names
inside a config until it is used.
"""

from __future__ import annotations

import functools
import os
from typing import Any

__all__ = ['install', 'move_data_root']


def move_data_root(cfg: Any, new: str) -> None:
    """Make every path under the config's old ``data_root`` a path under the new one.

    Args:
        cfg: A config of MMEngine's; it is changed.
        new: The new root.

    Raises:
        ValueError: The config has no ``data_root``.
    """
    old = cfg.get('data_root')
    if not old:
        raise ValueError('this config has no data_root; set the data_root of its dataloaders')

    def moved(value):
        if isinstance(value, dict):
            for key, item in list(dict.items(value)):  # where lazy objects stay what they are
                value[key] = moved(item)
        elif isinstance(value, list | tuple):
            return type(value)(moved(item) for item in value)
        elif isinstance(value, str) and value.startswith(old):
            tail = value.removeprefix(old)
            # 'data/coco' does not own 'data/coco_stuff'
            if not tail or old.endswith('/') or tail.startswith('/'):
                return os.path.join(new, tail.lstrip('/')) if tail else new
        return value

    moved(cfg._cfg_dict)
    cfg.data_root = new


def install() -> None:
    """Let the option move the data of configs that import this package, in any tool.

    Other configs are left as their libraries read them. Calling it again is harmless.
    """
    from mmengine.config import Config

    merge = Config.merge_from_dict
    if hasattr(merge, '__wrapped__'):
        return

    @functools.wraps(merge)
    def merged(self: Config, options: dict, *args: Any, **kwargs: Any) -> None:
        ours = 'wamim_mm' in (self.get('custom_imports') or {}).get('imports', ())
        new = options.get('data_root')
        if ours and new and self.get('data_root') not in (None, new):
            move_data_root(self, new)
        merge(self, options, *args, **kwargs)

    Config.merge_from_dict = merged
