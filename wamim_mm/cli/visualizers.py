"""More places that a run's curves and pictures go to."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

#: Word -> MMEngine's backend, and the packages of which one must be installed.
BACKENDS = {
    'tensorboard': ('TensorboardVisBackend', ('tensorboard', 'tensorboardX')),
    'wandb': ('WandbVisBackend', ('wandb',)),
    'mlflow': ('MLflowVisBackend', ('mlflow',)),
}


def add_log_to(parser: ArgumentParser) -> None:
    """Let a command understand ``--log-to``."""
    parser.add_argument(
        '--log-to',
        nargs='+',
        choices=tuple(BACKENDS),
        default=[],
        help='also; the files in the work dir are written in any case',
    )


def add_backends(cfg: Config, words: list[str]) -> None:
    """Let a run log to these as well; its files stay, which `wamim report` and `curves` read.

    Args:
        cfg: The config, changed in place.
        words: Of `BACKENDS`.

    Raises:
        ImportError: The package of one is not installed.
    """
    cfg.setdefault('visualizer', dict(type='Visualizer'))
    visualizer = cfg.visualizer
    there = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    for word in words:
        kind, packages = BACKENDS[word]
        if not any(find_spec(package) for package in packages):
            raise ImportError(f'--log-to {word} needs a package: pip install {packages[0]}')
        if all(backend.get('type') != kind for backend in there):
            there = [*there, dict(type=kind)]
    visualizer.vis_backends = there
