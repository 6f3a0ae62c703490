"""More places for curves and pictures."""

import pytest
from mmengine.config import Config

from wamim_mm.cli import visualizers
from wamim_mm.cli.visualizers import add_backends


@pytest.fixture
def installed(monkeypatch):
    """Which packages there seem to be."""
    names = {'tensorboard', 'mlflow'}
    monkeypatch.setattr(visualizers, 'find_spec', lambda name: name in names or None)
    return names


def kinds(cfg):
    return [backend['type'] for backend in cfg.visualizer.vis_backends]


@pytest.mark.parametrize('given', [{}, dict(visualizer=dict(type='UniversalVisualizer'))])
def test_files_stay(installed, given):
    cfg = Config(given)
    add_backends(cfg, [])
    assert kinds(cfg) == ['LocalVisBackend']
    add_backends(cfg, ['tensorboard', 'mlflow', 'tensorboard'])
    assert kinds(cfg) == ['LocalVisBackend', 'TensorboardVisBackend', 'MLflowVisBackend']


def test_settings_of_the_config_stay(installed):
    mine = dict(type='TensorboardVisBackend', save_dir='elsewhere')
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=[mine])))
    add_backends(cfg, ['tensorboard'])
    assert cfg.visualizer.vis_backends == [mine]


def test_what_is_not_installed(installed):
    with pytest.raises(ImportError, match='--log-to wandb needs a package: pip install wandb'):
        add_backends(Config({}), ['wandb'])
    installed.add('wandb')
    add_backends(Config({}), ['wandb'])
