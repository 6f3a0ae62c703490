"""More places for curves and pictures."""

import subprocess
import sys

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

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


@pytest.mark.slow
@pytest.mark.parametrize(
    ('word', 'written'),
    [
        ('tensorboard', 'events.out.tfevents.*'),
        ('wandb', 'wandb/offline-run-*/files/media/images/reconstruction_*.png'),
        ('mlflow', 'mlflow/*/artifacts/images/reconstruction*.png'),
    ],
)
def test_a_run_with(word, written, tmp_path, monkeypatch):
    """Curves and pictures with the package itself: pip install tensorboard wandb mlflow."""
    pytest.importorskip(word)
    monkeypatch.setenv('WANDB_MODE', 'offline')
    data, out = tmp_path / 'images', tmp_path / 'out'
    data.mkdir()
    for number in range(32):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(data / f'{number}.png')
    command = [sys.executable, '-m', 'wamim_mm', 'pretrain', '--data', data, '--out', out]
    options = ['--model', 'vit-ti', '--img-size', '64', '--epochs', '2', '--log-to', word]
    subprocess.run([*command, *options], check=True, capture_output=True)
    assert list(out.glob(f'*/vis_data/{written}'))
    assert list(out.glob('*/vis_data/vis_image/reconstruction_*.png'))
