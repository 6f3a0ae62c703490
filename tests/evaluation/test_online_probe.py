"""The encoder's score while it trains."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from wamim_mm import ProbeHook
from wamim_mm.evaluation import online_probe

from ..small_runs import demo_config

pytestmark = pytest.mark.usefixtures('own_instances')


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """Images whose class is their colour, which also a random encoder tells apart; one WebP."""
    folder = tmp_path_factory.mktemp('labelled')
    for split, count in (('train', 30), ('val', 9)):
        for i in range(count):
            name = ('red', 'green', 'blue')[i % 3]
            image = np.random.default_rng([i, count]).integers(0, 90, (32, 32, 3), dtype=np.uint8)
            image[..., i % 3] += 150
            path = folder / split / name / (f'{i}.webp' if i < 3 else f'{i}.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return folder


def run(root, images, out, config='wamim_vit_cifar10', epochs=3, **hook):
    cfg = demo_config(config, images, out, 10, epochs, 'train')
    cfg.default_hooks.checkpoint = None
    if hook:
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type='ProbeHook', **hook)]
    runner = Runner.from_cfg(cfg)
    runner.train()
    lines = [
        json.loads(line)
        for file in out.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    return runner, [line for line in lines if 'probe/knn' in line]


@pytest.mark.parametrize('config', ['wamim_vit_cifar10', 'wamim_swin', 'mfm_r18_cifar10'])
def test_scores_and_the_same_steps(config, root, labelled, tmp_path, monkeypatch):
    without, _ = run(root, labelled, tmp_path / 'a', config)
    monkeypatch.setattr(online_probe.time, 'perf_counter', lambda: 0.0)  # as if it took no time
    hook = dict(data=str(labelled), interval=4)
    probed, scores = run(root, labelled, tmp_path / 'b', config, **hook)
    assert [score['step'] for score in scores] == [0, 4, 6]
    assert all(score['probe/linear'] == 100 and score['probe/knn'] > 50 for score in scores)
    for name, tensor in without.model.state_dict().items():
        assert torch.equal(tensor, probed.model.state_dict()[name]), name
    assert probed.model.training


def test_time_is_kept(root, labelled, tmp_path, monkeypatch):
    """A probe that would be more than the share of the time is left out, but not the last."""
    now = iter(range(0, 100_000, 10))  # each look at the clock takes ten seconds, and so a probe
    clock = SimpleNamespace(perf_counter=lambda: next(now))
    monkeypatch.setattr(online_probe, 'time', clock)
    hook = dict(data=str(labelled), interval=1, most_time=0.25)
    _, scores = run(root, labelled, tmp_path / 'a', epochs=4, **hook)
    # Ten seconds are spent before the first step, and twenty are gone. Not before the sixth step,
    # after 80 s, a second probe makes no more than a quarter.
    spent, gone, expected = 10, 20, [0]
    for step in range(1, 9):
        gone += 10
        if spent + 10 <= 0.25 * gone:
            expected.append(step)
            spent, gone = spent + 10, gone + 20
    assert [score['step'] for score in scores] == [0, 6, 8] == sorted({*expected, 8})


def test_images_are_spread_over_the_classes(labelled):
    hook = ProbeHook(str(labelled), images=20)
    data = [dict(inputs=torch.zeros(1), data_samples=torch.tensor(i)) for i in range(50)]
    places = torch.cat([batch['data_samples'] for batch in hook._some(data)]).tolist()
    assert places == [i * 50 // 20 for i in range(20)]
    assert len(torch.cat([batch['inputs'] for batch in hook._some(data[:7])])) == 7


def test_bad_arguments(root, labelled, tmp_path):
    for wrong in (dict(interval=0), dict(images=3), dict(most_time=0), dict(most_time=2)):
        with pytest.raises(ValueError, match='ProbeHook: interval must be'):
            ProbeHook('data', **wrong)
    with pytest.raises(FileNotFoundError):
        run(root, labelled, tmp_path / 'a', data=str(tmp_path))
    (tmp_path / 'other/val/yellow').mkdir(parents=True)
    (tmp_path / 'other/train').symlink_to(labelled / 'train')
    image = Image.open(next((labelled / 'val').rglob('*.png')))
    image.save(tmp_path / 'other/val/yellow/a.png')
    with pytest.raises(ValueError, match='yellow'):
        run(root, labelled, tmp_path / 'b', data=str(tmp_path / 'other'))
