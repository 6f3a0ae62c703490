"""Keys of --cfg-options that nothing reads."""

import inspect

import pytest
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from wamim_mm.cli.options import READ, check_options


@pytest.fixture
def cfg(root):
    return Config.fromfile(root / 'configs' / 'pretrain' / 'wamim_vit-b.py')


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('max_epochs', 'train_cfg.max_epochs'),
        ('base_lr', 'optim_wrapper.optimizer.lr'),
        ('batch_size', 'train_dataloader.batch_size'),
        ('mask_ratio', 'model.mask_ratio'),
        ('train_dataloder.batch_size', 'train_dataloader.batch_size'),
        ('modle.mask_ratio', 'model.mask_ratio'),
        ('optim_wraper.optimizer.lr', 'optim_wrapper.optimizer.lr'),
        ('seed', 'randomness.seed'),
    ],
)
def test_the_nearest_live_key_is_named(cfg, key, meant):
    with pytest.raises(ValueError, match=f'{key}: nothing reads this key; did you mean {meant}'):
        check_options(cfg, {key: 1})


def test_without_a_near_one_all_are_named(cfg):
    with pytest.raises(
        ValueError,
        match='xyzzy: nothing reads this key; keys begin with activation_checkpointing, auto_',
    ):
        check_options(cfg, {'xyzzy': 1})


def test_what_is_read_passes(cfg):
    check_options(cfg, {})
    options = (
        'model.mask_ratio',
        'data_root',
        'train_cfg.max_epochs',
        'default_hooks.compile.type',
    )
    check_options(cfg, dict.fromkeys(options))
    check_options(cfg, dict.fromkeys(key for key in cfg if key in READ))


@pytest.mark.parametrize('runner', [Runner, FlexibleRunner])
def test_runners_read_no_more(runner):
    parameters = set(inspect.signature(runner.__init__).parameters) - {'self'}
    assert parameters <= READ
