"""python -m benchmarks.data on a few images, with a small model."""

import json

import pytest
from mmengine.config import Config
from PIL import Image

from benchmarks import data
from benchmarks.data import CONFIG


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'small.py'
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.arch = dict(
        embed_dims=48, num_layers=4, num_heads=2, feedforward_channels=96
    )
    cfg.model.backbone.out_indices = [0, 1, 2, 3]
    cfg.dump(path)
    return path


def test_command(config, tmp_path, capsys):
    options = ['--config', f'{config}', '--batch', '2', '--workers', '1', '--rounds', '2']
    options += ['--steps', '2', '--device', 'cpu', '--out', f'{tmp_path}/data.json']
    (tmp_path / 'images').mkdir()
    data.draw_images(tmp_path / 'images', 4)
    assert Image.open(tmp_path / 'images' / '00003.jpg').size == (500, 375)
    options += ['--images', f'{tmp_path}/images']
    data.main(options)
    assert 'of a step spent waiting' in capsys.readouterr().out
    found = json.loads((tmp_path / 'data.json').read_text())['results']
    for name in ('one core', '1 workers'):
        assert found[name]['images_per_second'].keys() == {'wamim_mm', 'mmpretrain'}
        assert found[name]['ratio']['min'] > 0
    waiting = found['waiting']
    total = waiting['wait'] + waiting['step']
    assert waiting['share'] == pytest.approx(waiting['wait'] / total) and waiting['step'] > 0


def test_bad_options(capsys):
    with pytest.raises(SystemExit):
        data.main(['--device', 'cpu', '--dtype', 'bf16'])
    assert 'bf16 needs a GPU' in capsys.readouterr().err
