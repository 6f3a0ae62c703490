"""--num-classes: a classifier for class folders of one's own."""

import argparse

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample
from PIL import Image

from wamim_mm.cli.checks import read_config
from wamim_mm.cli.launch import LOADERS, add_common_arguments, load_config
from wamim_mm.cli.own_classes import use_own_classes


@pytest.fixture
def folder(tmp_path):
    for split in ('train', 'val'):
        for name in ('cat', 'dog', 'owl'):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new('RGB', (32, 32)).save(tmp_path / split / name / 'a.png')
    return tmp_path


def config(*arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    return load_config(parser.parse_args([*map(str, arguments)]))


@pytest.mark.parametrize(
    'name', ['wamim_vit-s_finetune', 'wamim_swin-t_linear', 'mfm_r50_finetune-100e']
)
def test_every_recipe_takes_them(name, folder):
    given = ('--num-classes', 3, '--cfg-options', f'data_root={folder}')
    cfg = config(f'wamim_mm::cls/{name}.py', *given)
    assert cfg.model.head.num_classes == 3
    # No 1000 is left anywhere.
    counts = [line for line in cfg.pretty_text.splitlines() if 'num_classes' in line]
    assert counts and all('num_classes=3' in line for line in counts)
    for loader in LOADERS:
        part = dict(cfg[loader].dataset, pipeline=[])
        built = DATASETS.build(part)
        assert list(built.CLASSES) == ['cat', 'dog', 'owl'] and len(built) == 3
    cfg.model.backbone.init_cfg = None
    assert MODELS.build(cfg.model).head.fc.out_features == 3


def test_wrapped_data_and_data_of_ones_own():
    inner = dict(type='ImageNet')
    cfg = Config(
        dict(
            model=dict(head=dict(num_classes=1000)),
            train_dataloader=dict(dataset=dict(type='RepeatDataset', times=2, dataset=inner)),
            val_dataloader=dict(dataset=dict(type='Mine')),
        )
    )
    use_own_classes(cfg, 5, LOADERS)
    assert cfg.train_dataloader.dataset.type == 'RepeatDataset'
    assert cfg.train_dataloader.dataset.dataset.type == 'mmpretrain.CustomDataset'
    assert cfg.val_dataloader.dataset.type == 'Mine' and cfg.model.head.num_classes == 5


def test_mistakes():
    with pytest.raises(ValueError, match='--num-classes is for classifiers of mmpretrain'):
        config('wamim_mm::pretrain/wamim_vit-s.py', '--num-classes', 3)
    with pytest.raises(ValueError, match='must be 2 or more, got 1'):
        config('wamim_mm::cls/wamim_vit-s_linear.py', '--num-classes', 1)


def test_label_smoothing_has_them_too():
    cfg = read_config('mmpretrain::resnest/resnest50_32xb64_in1k.py')
    use_own_classes(cfg, 3, LOADERS)
    assert 'num_classes=1000' not in Config(dict(head=cfg.model.head)).pretty_text
    head = MODELS.build(cfg.model.head)
    samples = [DataSample().set_gt_label(i) for i in range(2)]
    assert head.loss((torch.randn(2, cfg.model.head.in_channels),), samples)['loss'].isfinite()
