"""Every ablation changes what its name says, and takes a step."""

from pathlib import Path

import pytest
from mmengine.config import Config

from benchmarks.study import controls  # noqa: F401  (registers what configs name)

from .test_configs import take_a_step

CONFIGS = Path(__file__).parent.parent / 'configs'
FILES = sorted(CONFIGS.glob('ablation/*.py'))
# At the study's scale: changed from configs/study/wamim_<encoder>.py.
SMALL_FILES = sorted(CONFIGS.glob('ablation/cifar10/*.py'))
# What a row may change of the model, by the first part of its name.
CHANGES = {
    'baseline': set(),
    'levels': {'target_generator.levels', 'backbone.out_indices', 'head.loss_weights'},
    'subbands': {'target_generator.subbands'},
    'norm': {'target_generator.norm'},
    'wavelet': {'target_generator.wavelet'},
    'weights': {'head.loss_weights'},
    'decoder': {'neck.embed_dims', 'neck.num_heads', 'neck.num_layers', 'neck.norm_raw'},
    'features': {'backbone.out_indices'},
}
SMALL_CHANGES = CHANGES | {
    'decoder': CHANGES['decoder'] | {'neck.strides'},
    'ratio': {'mask_ratio'},
    'init': {'backbone.type'},
    'unit': {'masks'},
    'combined': CHANGES['levels'] | CHANGES['decoder'],
}
SMALL = dict(embed_dims=48, num_layers=12, num_heads=2, feedforward_channels=96)


def flat(cfg: Config) -> dict:
    """``{'head.loss_weights': ...}`` of a model's config."""
    return {
        f'{part}.{key}': value
        for part, options in cfg.model.items()
        if isinstance(options, dict)
        for key, value in options.items()
    }


def test_every_row_is_there():
    assert {path.stem.partition('_')[0] for path in FILES} == set(CHANGES)
    rows = {path.stem.partition('_')[0] for path in SMALL_FILES}
    assert rows | {'baseline'} == set(SMALL_CHANGES)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_ablation(path):
    cfg = Config.fromfile(path)
    baseline = Config.fromfile(path.with_name('baseline.py'))
    ours, theirs = flat(cfg), flat(baseline)
    changed = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    row = path.stem.partition('_')[0]
    assert changed <= CHANGES[row] and bool(changed) == (row != 'baseline')
    for key in cfg.keys() - {'model'}:
        assert cfg[key] == baseline[key], key
    rise, fall = cfg.param_scheduler
    assert (cfg.train_cfg.max_epochs, rise.end, fall.begin) == (100, 10, 10)
    assert 'end' not in fall  # that of the training
    assert f'configs/ablation/{path.name} ' in path.read_text().split('"""')[1]

    cfg.model.backbone.arch = SMALL
    log = take_a_step(cfg)
    assert {f'loss_level{n}' for n in cfg.model.target_generator.levels} <= log.keys()


@pytest.mark.parametrize('path', SMALL_FILES, ids=lambda path: path.stem)
def test_small_ablation(path):
    row, encoder = path.stem.partition('_')[0], path.stem.rpartition('_')[2]
    cfg = Config.fromfile(path)
    baseline = Config.fromfile(CONFIGS / f'study/wamim_{encoder}.py')
    ours, theirs = (flat(c) | {'mask_ratio': c.model.mask_ratio} for c in (cfg, baseline))
    changed = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    changed |= {'masks'} & cfg.keys()
    assert changed and changed <= SMALL_CHANGES[row]
    for key in cfg.keys() - {'model', 'masks', 'custom_imports'}:
        assert cfg[key] == baseline[key], key
    log = take_a_step(cfg, side=32)
    assert {f'loss_level{n}' for n in cfg.model.target_generator.levels} <= log.keys()
