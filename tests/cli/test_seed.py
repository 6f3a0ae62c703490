"""A config without a seed: the run has one all the same, and goes on with it."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from wamim_mm.cli.launch import build_runner
from wamim_mm.cli.seed import settle_seed

from ..small_runs import demo_config

pytestmark = pytest.mark.usefixtures('own_instances')


def test_a_seed_is_drawn_and_the_rest_stays():
    drawn = []
    for _ in range(2):
        cfg = Config(dict(randomness=dict(seed=None, deterministic=True)))
        settle_seed(cfg)
        drawn.append(cfg.randomness.seed)
        assert cfg.randomness.deterministic is True
    assert all(isinstance(seed, int) for seed in drawn) and drawn[0] != drawn[1]
    cfg = Config(dict(randomness=dict(seed=0)))
    settle_seed(cfg)
    assert cfg.randomness == dict(seed=0)


@pytest.mark.parametrize(
    ('checkpoint', 'seed'),
    [
        (dict(meta=dict(seed=7)), 7),
        (dict(meta=dict(cfg='randomness = dict(seed=8)\n')), 8),
        (dict(state_dict={}), None),
        ({}, None),
    ],
)
def test_the_checkpoint_s_seed(checkpoint, seed, tmp_path):
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    cfg = Config(dict(resume=True, load_from=str(tmp_path / 'epoch_1.pth'), work_dir='none'))
    settle_seed(cfg)
    assert isinstance(cfg.randomness.seed, int) and seed in (None, cfg.randomness.seed)


def test_the_seed_of_a_checkpoint_of_deepspeed(tmp_path):
    """It is a folder without a config; the run's is beside it, under the name of its file."""
    (tmp_path / 'epoch_1.pth').mkdir()
    (tmp_path / 'mine.py').write_text('model = dict()\n')
    cfg = Config.fromfile(tmp_path / 'mine.py')
    cfg.merge_from_dict(
        dict(resume=True, load_from=str(tmp_path / 'epoch_1.pth'), work_dir=str(tmp_path))
    )
    for text in ('model = dict()\n', 'import os\n'):
        (tmp_path / 'mine.py').write_text(text)
        with pytest.raises(ValueError, match=r'epoch_1.pth nor in .*mine.py; give it: --cfg-opt'):
            settle_seed(cfg)
    (tmp_path / 'mine.py').write_text('randomness = dict(seed=9)\n')
    settle_seed(cfg)
    assert cfg.randomness.seed == 9


def test_one_process_of_a_launcher_has_a_seed_too(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '1')
    cfg = Config(dict(launcher='pytorch'))
    settle_seed(cfg)
    assert isinstance(cfg.randomness.seed, int)


def test_a_run_goes_on_in_its_own_order(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(8):
        Image.fromarray(np.full((32, 32, 3), i, np.uint8)).save(folder / f'{i}.png')
    cfg = demo_config('wamim_vit_cifar10', folder, tmp_path / 'run', 4, 1)
    cfg.randomness = dict(seed=None)
    cfg.launcher = 'none'

    def trained(**changes):
        own = deepcopy(cfg)
        own.merge_from_dict(changes)
        runner = build_runner(own, ('train_dataloader',), strict=False)
        runner.train()
        sampler = runner.train_dataloader.sampler
        sampler.set_epoch(5)
        return [int(index) for index in sampler], runner.train_dataloader.dataset.seed

    first = trained()
    assert trained(resume=True, train_cfg=dict(max_epochs=2)) == first
    assert trained(work_dir=str(tmp_path / 'other'))[1] != first[1]
