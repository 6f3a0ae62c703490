"""What looks wrong with a pre-training is said once, in one sentence."""

import logging

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from wamim_mm import MFM, HealthHook
from wamim_mm.hooks.health import feature_spread

from ..small_runs import demo_config

pytestmark = pytest.mark.usefixtures('own_instances')


@pytest.fixture
def images(tmp_path):
    """Stripes of many kinds, which a few steps learn something about."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(8):
        wave = 127 + 100 * np.sin(np.arange(40) / (1 + i))[:, None, None] * np.ones((40, 3))
        Image.fromarray(wave.astype(np.uint8)).save(folder / f'{i}.png')
    return folder


def run(root, data, out, config='wamim_vit_cifar10', epochs=6, lr=1e-3, interval=4, **options):
    """What a run of two steps an epoch says."""
    cfg = demo_config(config, data, out, 4, epochs)
    cfg.optim_wrapper.optimizer.lr = lr
    cfg.default_hooks.checkpoint = None
    cfg.auto_scale_lr = dict(base_batch_size=4)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='HealthHook', interval=interval)]
    cfg.merge_from_dict(options)
    runner = Runner.from_cfg(cfg)
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.train()
    about = ('level', 'the loss is', 'features', 'a step has')
    return runner, [line for line in said if any(word in line for word in about)]


@pytest.mark.parametrize('config', ['wamim_vit_cifar10', 'mfm_r18_cifar10'])
def test_a_healthy_run_says_nothing_and_takes_the_same_steps(config, root, images, tmp_path):
    runner, said = run(root, images, tmp_path / 'a', config, epochs=20, interval=20)
    assert not said
    without, _ = run(root, images, tmp_path / 'b', config, epochs=20, interval=1)
    for name, tensor in without.model.state_dict().items():
        assert torch.equal(tensor, runner.model.state_dict()[name]), name
    assert runner.model.training


def test_levels_that_are_not_learned_are_said_once(root, images, tmp_path):
    _, said = run(root, images, tmp_path / 'a', lr=1e-9, epochs=8)
    assert len(said) == 1 and ' of level 2' in said[0]
    assert said[0].startswith('after 8 steps some levels are predicted no better than by nothing')
    assert said[0].endswith('change optim_wrapper.optimizer.lr, up where it is low')


def test_a_short_run_is_looked_at_too(root, images, tmp_path):
    _, said = run(root, images, tmp_path / 'a', lr=1e-9, epochs=50, interval=500)
    assert len(said) == 1 and said[0].startswith('after 100 steps')


def test_a_run_of_a_few_steps_is_not_judged(root, images, tmp_path):
    _, said = run(root, images, tmp_path / 'a', lr=1e-9, epochs=49, interval=500)
    assert not said


def test_a_loss_that_does_not_fall(root, images, tmp_path, monkeypatch):
    step = MFM.train_step

    def rising(self, data, optim_wrapper):
        rising.steps += 1
        return dict(step(self, data, optim_wrapper), loss=torch.tensor(float(rising.steps)))

    rising.steps = 0
    monkeypatch.setattr(MFM, 'train_step', rising)
    _, said = run(root, images, tmp_path / 'a', 'mfm_r18_cifar10', epochs=8)
    assert said == [
        'after 8 steps the loss is 6.5, and was 2.5 in the first ones: it does not fall; change '
        'optim_wrapper.optimizer.lr, down where the loss jumps, up where it stands still'
    ]


def test_losses_may_stand_still_after_a_resume(root, images, tmp_path, monkeypatch):
    step = MFM.train_step

    def still(self, data, optim_wrapper):
        return dict(step(self, data, optim_wrapper), loss=torch.tensor(0.5))

    monkeypatch.setattr(MFM, 'train_step', still)
    for epochs, resume, count in ((4, False, 1), (12, True, 0)):
        saved = dict(type='CheckpointHook', interval=1, _delete_=True)
        options = dict(default_hooks=dict(checkpoint=saved), resume=resume)
        _, said = run(root, images, tmp_path / 'a', 'mfm_r18_cifar10', epochs=epochs, **options)
        assert len(said) == count


def test_a_learning_rate_that_is_too_high(root, images, tmp_path):
    _, said = run(root, images, tmp_path / 'a', lr=0.03)
    assert any('level' in line and line.endswith('optimizer.lr, down') for line in said)
    assert 'the features of different images are nearly the same' in said[-1]


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(auto_scale_lr=dict(base_batch_size=16)), '0.001 is of a recipe with 16'),
        (
            {'optim_wrapper.accumulative_counts': 2},
            'a step has 8 images, and the learning rate 0.001 is of a recipe with 4: '
            '--auto-scale-lr makes it 0.002, unless',
        ),
        (dict(auto_scale_lr=dict(base_batch_size=16, enable=True)), None),
    ],
)
def test_the_batch_is_the_recipes(root, images, tmp_path, options, line):
    _, said = run(root, images, tmp_path / 'a', **options)
    assert (line is None and not said) or (len(said) == 1 and line in said[0])


def test_spread():
    vectors = torch.randn(5, 7, dtype=torch.float64) + 2
    centre = vectors.mean(0)
    apart = sum((one - centre).square().sum() for one in vectors)
    whole = sum(one.square().sum() for one in vectors)
    assert feature_spread(vectors) == pytest.approx(float(apart / whole), rel=1e-5)
    assert feature_spread(torch.ones(5, 7)) == 0
    centred = vectors - centre
    assert feature_spread(centred) == pytest.approx(1, rel=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match='interval must be 1 or more, got 0'):
        HealthHook(interval=0)


def test_a_level_that_does_not_count_is_not_judged(root, images, tmp_path):
    options = {'model.head.loss_weights': (0, 1.0, 1.0)}
    _, said = run(root, images, tmp_path / 'a', lr=1e-9, epochs=8, **options)
    assert len(said) == 1 and ' of level 2' in said[0] and ' of level 1' not in said[0]
