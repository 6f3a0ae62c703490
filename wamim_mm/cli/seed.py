"""The seed of a run whose config has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.dist import is_distributed, sync_random_seed
from mmengine.runner.checkpoint import CheckpointLoader

from ..interop.saving import find_latest
from ..saved_config import parse_config

if TYPE_CHECKING:
    from mmengine.config import Config


def settle_seed(cfg: Config) -> None:
    """Give a training config without a seed one, which its checkpoints keep.

    A run that goes on takes its checkpoint's: with another one it would go on in another order, in
    which it meets some images of the epoch twice and others never.

    Args:
        cfg: The config, changed in place.
    """
    randomness = dict(cfg.get('randomness') or {})
    alone = cfg.get('launcher', 'none') == 'none'
    if randomness.get('seed') is not None or not (alone or is_distributed()):
        return
    seed = _kept_seed(cfg) if cfg.get('resume') else None
    cfg.randomness = dict(randomness, seed=sync_random_seed() if seed is None else seed)


def _kept_seed(cfg: Config) -> int | None:
    """The seed of the run that goes on."""
    path = cfg.get('load_from') or find_latest(cfg.work_dir)
    if path is None:
        return None
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    meta = (checkpoint.get('meta') or {}) if isinstance(checkpoint, dict) else {}
    if meta.get('seed') is not None:
        return meta['seed']
    if 'cfg' not in meta:
        return None
    # MMEngine's FlexibleRunner keeps it in the config alone.
    return (parse_config(meta['cfg']).get('randomness') or {}).get('seed')
