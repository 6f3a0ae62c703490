"""The seed of a run whose config has none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.dist import is_distributed, sync_random_seed
from mmengine.runner.checkpoint import CheckpointLoader

from ..interop.saving import find_latest
from ..saved_config import parse_config
from .settings import process_count

if TYPE_CHECKING:
    from mmengine.config import Config


def settle_seed(cfg: Config) -> None:
    """Give a training config without a seed one, which its checkpoints keep.

    A run that goes on takes its checkpoint's: with another one it would go on in another order, in
    which it meets some images of the epoch twice and others never.

    Args:
        cfg: The config, changed in place.

    Raises:
        ValueError: The run that goes on is DeepSpeed's, and its seed is not known.
    """
    randomness = dict(cfg.get('randomness') or {})
    alone = process_count(cfg.get('launcher', 'none')) <= 1
    if randomness.get('seed') is not None or not (alone or is_distributed()):
        return
    seed = _kept_seed(cfg) if cfg.get('resume') else None
    cfg.randomness = dict(randomness, seed=sync_random_seed() if seed is None else seed)


def _kept_seed(cfg: Config) -> int | None:
    """The seed of the run that goes on."""
    path = cfg.get('load_from') or find_latest(cfg.work_dir)
    if path is None:
        return None
    if Path(path).is_dir():  # DeepSpeed's, which has no config; MMEngine writes it beside
        beside = Path(path).parent / Path(cfg.filename or 'config.py').name
        seed = None
        if beside.is_file():
            with suppress(ValueError):  # another file, which somebody wrote
                seed = _written_seed(beside.read_text())
        if seed is None:
            raise ValueError(
                f'--resume: the seed of the run is neither in {path} nor in {beside}; give it: '
                '--cfg-options randomness.seed=N'
            )
        return seed
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    meta = (checkpoint.get('meta') or {}) if isinstance(checkpoint, dict) else {}
    if meta.get('seed') is not None:
        return meta['seed']
    # MMEngine's FlexibleRunner keeps it in the config alone.
    return _written_seed(meta['cfg']) if 'cfg' in meta else None


def _written_seed(config: Any) -> int | None:
    """The seed that a config's text holds."""
    return (parse_config(config).get('randomness') or {}).get('seed')
