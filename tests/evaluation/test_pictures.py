"""Pictures while a model trains."""

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import BaseVisBackend
from PIL import Image

from wamim_mm import PicturesHook

from ..small_runs import demo_config


@VISBACKENDS.register_module(force=True)
class Kept(BaseVisBackend):
    """Keeps what it is given, as TensorBoard would show it."""

    seen: ClassVar[list] = []

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **kwargs):
        self.seen.append((name, image, step))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f'{i}.png')
    (folder / '0.png').write_bytes(b'broken')
    (folder / 'notes.txt').write_text('no image')
    return folder


def run(root, data, work_dir, config='wamim_vit_cifar10', **hook):
    cfg = demo_config(config, data, work_dir, batch=2, epochs=2)
    cfg.train_dataloader.dataset.extensions = ('1.png', '2.png', '3.png', '4.png', '5.png')
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend'), dict(type='Kept')]
    if hook:
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type='PicturesHook', **hook)]
    # MMEngine finds its visualizer by this name and the second: another run's would be taken.
    cfg.experiment_name = str(work_dir)
    Kept.seen.clear()
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_all_visualizers_get_the_same_images(root, images, tmp_path):
    run(root, images, tmp_path / 'run', images=str(images), interval=3, count=3)
    names, pictures, steps = zip(*Kept.seen, strict=True)
    assert steps == (0, 3, 4) and set(names) == {'reconstruction'}
    assert all(picture.dtype == np.uint8 and picture.ndim == 3 for picture in pictures)
    # Image and visible part, on the left, stay; what is made of them does not.
    left = pictures[0].shape[1] // 5
    assert np.array_equal(pictures[0][:, :left], pictures[2][:, :left])
    assert not np.array_equal(pictures[0], pictures[2])
    files = list((tmp_path / 'run').glob('*/vis_data/vis_image/reconstruction_*.png'))
    assert sorted(int(file.stem.split('_')[-1]) for file in files) == [0, 3, 4]
    scalars = next((tmp_path / 'run').glob('*/vis_data/scalars.json'), None)
    assert scalars is None or all(map(json.loads, scalars.read_text().splitlines()))


@pytest.mark.parametrize('config', ['wamim_vit_cifar10', 'mfm_r18_cifar10'])
def test_a_run_with_pictures_takes_the_same_steps(config, root, images, tmp_path):
    without = run(root, images, tmp_path / 'a', config)
    drawn = run(root, images, tmp_path / 'b', config, images=str(images), interval=1, count=1)
    assert len(Kept.seen) == 5
    for name, tensor in without.model.state_dict().items():
        assert torch.equal(tensor, drawn.model.state_dict()[name]), name
    assert drawn.model.training


def test_bad_arguments(root, images, tmp_path):
    with pytest.raises(ValueError, match='interval and count must be 1 or more, got 0 and 4'):
        PicturesHook('somewhere', interval=0)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='PicturesHook: no image at'):
        run(root, images, tmp_path / 'run', images=str(tmp_path / 'empty'))
