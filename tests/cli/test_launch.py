"""From the command line to a config: data roots and the look at the data."""

import argparse
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from wamim_mm.cli.launch import (
    _register,
    add_common_arguments,
    check_fills_a_batch,
    load_config,
    warn_of_late_saves,
)
from wamim_mm.hooks.finite_steps import FiniteStepsHook

from ..small_runs import small_run


def load(tmp_path, text, *arguments, folder=''):
    (tmp_path / 'config.py').write_text(text)
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    return load_config(parser.parse_args([str(tmp_path / 'config.py'), *arguments]), folder)


def test_data_root_moves_every_path_under_it(tmp_path):
    text = """
data_root = 'data/coco/'
train_dataloader = dict(dataset=dict(type='A', data_root=data_root, ann_file='annotations/a.json'))
val_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root), other='data/coco_stuff'))
val_evaluator = [dict(ann_file=data_root + 'annotations/b.json')]
"""
    cfg = load(tmp_path, text, '--cfg-options', 'data_root=/elsewhere')
    assert cfg.data_root == '/elsewhere'
    assert cfg.train_dataloader.dataset.data_root == '/elsewhere'
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/a.json'
    assert cfg.val_dataloader.dataset.dataset.data_root == '/elsewhere'
    assert cfg.val_dataloader.dataset.other == 'data/coco_stuff'
    assert cfg.val_evaluator[0].ann_file == '/elsewhere/annotations/b.json'


def test_data_root_comes_from_the_environment(root, monkeypatch):
    path = root / 'configs/pretrain/wamim_vit-b.py'
    monkeypatch.delenv('IMAGENET_ROOT', raising=False)
    assert Config.fromfile(path).train_dataloader.dataset.data_root == 'data/imagenet'
    monkeypatch.setenv('IMAGENET_ROOT', '/in')
    assert Config.fromfile(path).train_dataloader.dataset.data_root == '/in'


def test_work_dir_and_collate(tmp_path):
    cfg = load(tmp_path, "default_scope = 'mmpretrain'\ntrain_dataloader = dict()")
    assert cfg.work_dir == 'work_dirs/config'
    assert cfg.train_dataloader.collate_fn.type == 'default_collate'
    assert load(tmp_path, '', '--work-dir', 'here').work_dir == 'here'


def test_the_library_of_a_config_without_default_scope(tmp_path):
    cfg = load(tmp_path, "model = dict(type='mmpretrain.WaMIM')\ntrain_dataloader = dict()")
    assert cfg.default_scope == 'mmpretrain'
    assert cfg.train_dataloader.collate_fn.type == 'default_collate'
    cfg = load(tmp_path, "model = dict(type='mmdet.MaskRCNN')\ntrain_dataloader = dict()")
    assert cfg.default_scope == 'mmdet' and 'collate_fn' not in cfg.train_dataloader
    with pytest.raises(ValueError, match="type='WaMIMM': no class of this name"):
        load(tmp_path, "model = dict(type='WaMIMM')")


def test_work_dir_of_a_config_of_a_library(monkeypatch):
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    args = parser.parse_args(['mmpretrain::resnet/resnet18_8xb32_in1k.py'])
    assert load_config(args).work_dir == 'work_dirs/resnet18_8xb32_in1k'
    assert load_config(args, 'evaluation').work_dir == 'work_dirs/resnet18_8xb32_in1k/evaluation'


def test_a_new_data_root_leaves_lazy_objects_lazy(tmp_path):
    """The official MMEngine cannot write a class into the config that is saved with a run."""
    text = """
from mmpretrain.datasets import CustomDataset
from wamim_mm import WaMIM
data_root = 'old'
model = dict(type=WaMIM)
train_dataloader = dict(dataset=dict(type=CustomDataset, data_root=data_root))
"""
    cfg = load(tmp_path, text, '--cfg-options', 'data_root=new')
    assert cfg.train_dataloader.dataset.data_root == 'new'
    assert "type='wamim_mm.WaMIM'" in cfg.pretty_text
    assert "type='mmpretrain.datasets.CustomDataset'" in cfg.pretty_text


def test_evaluation_writes_beside_the_run(tmp_path):
    """The run's own config stays as it was, also where the config says the work dir."""
    for text, folder in (('', 'work_dirs/config'), ("work_dir = 'runs/a'\n", 'runs/a')):
        assert load(tmp_path, text).work_dir == folder
        assert load(tmp_path, text, folder='evaluation').work_dir == f'{folder}/evaluation'
    arguments = ('--work-dir', 'here')
    assert load(tmp_path, '', *arguments, folder='evaluation').work_dir == 'here'


def test_evaluation_in_the_work_dir_of_a_run(tmp_path):
    """Which is named for its logs; the run's config stays as it was."""
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/iter_1.pth').touch()
    arguments = ('--work-dir', str(tmp_path / 'run'))
    found = load(tmp_path, '', *arguments, folder='evaluation')
    assert found.work_dir == str(tmp_path / 'run/evaluation')
    assert load(tmp_path, '', *arguments).work_dir == str(tmp_path / 'run')


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('my ds/a b', 'my ds/a b'),
        ('[traffic light, car ,  fire  truck]', ['traffic light', 'car', 'fire  truck']),
        ('"((1, 2), ( 3 ,4))"', ((1, 2), (3, 4))),
        ("['a b', c]", ['a b', 'c']),
        ('1, 2', [1, 2]),
        (' 3 ', 3),
        ('set (1)/x', 'set (1)/x'),
        ('True', True),
    ],
)
def test_spaces_within_a_word_stay(text, value):
    """MMEngine removes them: another folder would be used, and other names of classes."""
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    options = parser.parse_args(['--cfg-options', f'a.b={text}', 'c=d']).cfg_options
    assert options == {'a.b': value, 'c': 'd'}


def test_an_epoch_of_an_infinite_sampler(tmp_path):
    """It has no end: nothing would be validated or saved."""
    runner, _ = small_run(tmp_path / 'a', [], {'max_epochs': 1})
    check_fills_a_batch('train_dataloader', runner.train_loop)
    endless, _ = small_run(tmp_path / 'b', [], {'max_iters': 1})
    check_fills_a_batch('train_dataloader', endless.train_loop)
    runner.train_loop.dataloader = endless.train_loop.dataloader
    with pytest.raises(ValueError, match=r'first epoch has no end; set train_dataloader\.sampler'):
        check_fills_a_batch('train_dataloader', runner.train_loop)


def test_missing_config(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        load_config(
            argparse.Namespace(config='nowhere.py', local_rank=0, cfg_options={}, launcher='none')
        )


def test_a_hook_of_the_config_takes_the_place_of_ours(tmp_path):
    runner, _ = small_run(tmp_path, None, dict(max_iters=1))
    for limit in (5, 20):
        _register(runner, dict(type='FiniteStepsHook', limit=limit))
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, FiniteStepsHook)]
    assert hook.limit == 5


@pytest.mark.parametrize('counts_epochs', [False, True])
@pytest.mark.parametrize('saves_by_epoch', [False, True])
def test_a_run_of_iterations_that_saves_by_epochs(tmp_path, counts_epochs, saves_by_epoch):
    length = dict(max_epochs=1) if counts_epochs else dict(max_iters=2)
    runner, _ = small_run(tmp_path, None, length)
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    hook.by_epoch = saves_by_epoch
    said = []
    runner.logger = SimpleNamespace(warning=said.append)
    warn_of_late_saves(runner)
    assert len(said) == (saves_by_epoch and not counts_epochs)
