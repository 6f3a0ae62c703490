"""Class folders and class names of several splits."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from wamim_mm.cli.launch import add_common_arguments, build_runner, load_config
from wamim_mm.data.classes import (
    TrainedClasses,
    check_classes,
    check_training_folders,
    name_folders,
    trained_classes,
)

#: A classifier of images of one grey level: its only feature is this level.
CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['wamim_mm'])
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=512),
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CustomDataset', data_root={root!r}, data_prefix='train', pipeline=pipeline
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root={root!r}, data_prefix='val', pipeline=pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=1)
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
"""


def fill(folder, names, images=2):
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(images):
            level = np.full((8, 8, 3), 40 * (ord(name[0]) % 5), np.uint8)
            Image.fromarray(level).save(folder / name / f'{name[0]}{i}.png')


def make_runner(root, tmp_path, *arguments, loaders=('train_dataloader', 'val_dataloader')):
    """As tools/train.py and tools/test.py build it."""
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(root)))
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    given = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'run')]
    cfg = load_config(parser.parse_args([*given, *arguments]))
    if loaders == ('test_dataloader',):
        cfg.load_from = str(tmp_path / 'trained.pth')
    return build_runner(cfg, loaders, strict=True)


def labels(dataset):
    """The labels of a data set's images by the names of their folders."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    pairs = {(Path(info['img_path']).parent.name, info['gt_label']) for info in infos}
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def save(path, classes):
    meta = {} if classes is None else dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict={}), path)


def test_a_class_without_a_folder_in_validation(tmp_path):
    """The labels are those of the training classes; by itself mmpretrain would shift them."""
    fill(tmp_path / 'train', 'abc')
    fill(tmp_path / 'val', 'bc')
    (tmp_path / 'val' / '.ipynb_checkpoints').mkdir()  # empty, so no matter
    shifted = DATASETS.build(
        dict(type='CustomDataset', data_root=str(tmp_path), data_prefix='val', pipeline=[])
    )
    assert labels(shifted) == dict(b=1, c=2)  # after the empty folder
    runner = make_runner(tmp_path, tmp_path)
    dataset = runner.val_loop.dataloader.dataset
    assert labels(dataset) == dict(b=1, c=2)
    assert dataset.metainfo['classes'] == tuple('abc')
    assert runner.cfg.val_dataloader.dataset.type == 'CustomDataset'  # saved as it was given


def test_testing_takes_the_classes_of_the_checkpoint(tmp_path):
    fill(tmp_path / 'val', 'bc')
    save(tmp_path / 'trained.pth', list('abc'))
    runner = make_runner(tmp_path, tmp_path, loaders=('test_dataloader',))
    assert labels(runner.test_loop.dataloader.dataset) == dict(b=1, c=2)
    save(tmp_path / 'trained.pth', ('a', 'B'))
    with pytest.raises(ValueError, match=r"2 of the 2 .*val' \(b, c\).*\(a, B\).*'B'"):
        make_runner(tmp_path, tmp_path, loaders=('test_dataloader',))


@pytest.mark.parametrize('kept', [None, 'abc'])
def test_a_checkpoint_without_names(tmp_path, kept):
    """Nothing tells which two of the three classes the folders are."""
    save(tmp_path / 'trained.pth', None)
    fill(tmp_path / 'val', kept or 'bc')
    if kept:
        make_runner(tmp_path, tmp_path, loaders=('test_dataloader',))
        return
    with pytest.raises(ValueError, match=r'3 classes.* 2 \(b, c\).*does not name its classes'):
        make_runner(tmp_path, tmp_path, loaders=('test_dataloader',))
    given = ('--cfg-options', 'test_dataloader.dataset.classes=[a,b,c]')
    runner = make_runner(tmp_path, tmp_path, *given, loaders=('test_dataloader',))
    assert labels(runner.test_loop.dataloader.dataset) == dict(b=1, c=2)


def test_folders_that_are_no_training_class(tmp_path):
    fill(tmp_path / 'train', ['ant', 'bee', 'cat'])
    fill(tmp_path / 'val', ['ant', 'Cat', 'dog'])
    with pytest.raises(ValueError, match=r"2 of the 3 .*\(Cat, dog\).*; did you mean 'cat'\?$"):
        make_runner(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ('folders', 'message'),
    [
        (['ant', 'bee', '.ipynb_checkpoints'], r'holds \.ipynb_checkpoints, which would be'),
        (['ant', 'bee', '__MACOSX'], r'holds __MACOSX, which would be .* the other 2 folders'),
        (['images'], r"one class folder only, 'images'"),
        ([], r"no class folders in .*train', which holds 1 \.png; put the images of each class"),
    ],
)
def test_training_folders_that_cannot_be_meant(tmp_path, folders, message):
    fill(tmp_path / 'train', folders)
    if not folders:
        (tmp_path / 'train').mkdir()
        Image.new('RGB', (8, 8)).save(tmp_path / 'train' / '1.png')
    fill(tmp_path / 'val', 'ab')
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make_runner(tmp_path, tmp_path)


def test_given_classes_in_another_order_than_the_folders(tmp_path):
    fill(tmp_path / 'train', 'abc')
    given = dict(type='CustomDataset', data_root=str(tmp_path / 'train'), pipeline=[])
    check_training_folders(DATASETS.build(dict(given, classes=['x', 'y', 'z'])))  # other names
    check_training_folders(DATASETS.build(dict(given, classes=['a', 'b', 'c'])))
    with pytest.raises(ValueError, match=r'order of their names \(a, b, c\).* as c, a, b'):
        check_training_folders(DATASETS.build(dict(given, classes=['c', 'a', 'b'])))


def test_an_empty_class_of_the_training_set_is_a_class(tmp_path):
    fill(tmp_path / 'train', 'ac')
    (tmp_path / 'train' / 'b').mkdir()
    fill(tmp_path / 'val', 'abc')
    runner = make_runner(tmp_path, tmp_path)
    assert labels(runner.val_loop.dataloader.dataset) == dict(a=0, b=1, c=2)


def test_wrappers_and_what_is_left_alone(tmp_path):
    fill(tmp_path / 'val', 'bc')
    init_default_scope('mmpretrain')
    folder = dict(type='CustomDataset', data_root=str(tmp_path / 'val'), pipeline=[])
    for config in (
        dict(type='RepeatDataset', times=2, dataset=dict(folder)),
        dict(type='ConcatDataset', datasets=[dict(folder), dict(folder)]),
        dict(type='SeededDataset', seed=0, dataset=dict(folder)),
        dict(folder, type='mmpretrain.CustomDataset'),
    ):
        name_folders(config, TrainedClasses(tuple('abc')), 'mmpretrain')
        assert labels(DATASETS.build(config)) == dict(b=1, c=2)
    for other in (
        dict(folder, with_label=False),
        dict(folder, ann_file='a.txt'),
        dict(folder, classes=['x', 'y']),
        dict(folder, type='ImageNet'),
        dict(folder, type='CIFAR10'),
    ):
        given = dict(other)
        name_folders(given, TrainedClasses(tuple('abc')), 'mmpretrain')
        assert given == other


def test_classes_with_other_names_than_their_folders(tmp_path):
    """Of training and validation alike; labels still go by the folders."""
    fill(tmp_path / 'train', 'abc')
    fill(tmp_path / 'val', 'bc')
    given = [f'{name}_dataloader.dataset.classes=[x,y,z]' for name in ('train', 'val')]
    runner = make_runner(tmp_path, tmp_path, '--cfg-options', *given)
    dataset = runner.val_loop.dataloader.dataset
    assert labels(dataset) == dict(b=1, c=2) and dataset.metainfo['classes'] == tuple('xyz')
    fill(tmp_path / 'val', 'bcd')
    with pytest.raises(ValueError, match=r'1 of the 3 class folders .* \(d\)'):
        make_runner(tmp_path, tmp_path, '--cfg-options', *given)
    given[1] = 'val_dataloader.dataset.classes=[y,x,z]'
    with pytest.raises(ValueError, match=r'class folders .*\(3: b, c, d\).*\(3: a, b, c\)'):
        make_runner(tmp_path, tmp_path, '--cfg-options', *given)
    fill(tmp_path / 'train', 'd')
    (tmp_path / 'val' / 'a').mkdir()
    given = [option.replace('z]', 'z,w]') for option in given]
    with pytest.raises(ValueError, match='the same in another order'):
        make_runner(tmp_path, tmp_path, '--cfg-options', *given)
    (tmp_path / 'val' / 'a').rmdir()
    # The checkpoint has names, and its folders are unknown: numbers must be enough.
    save(tmp_path / 'trained.pth', list('xyz'))
    given = ('--cfg-options', 'test_dataloader.dataset.classes=[x,y,z]')
    runner = make_runner(tmp_path, tmp_path, *given, loaders=('test_dataloader',))
    assert labels(runner.test_loop.dataloader.dataset) == dict(b=0, c=1, d=2)


def names(*classes, **more):
    return SimpleNamespace(metainfo=dict(classes=classes), **more)


@pytest.mark.parametrize(
    ('dataset', 'message'),
    [
        (names('b', 'a'), r'2 \(b, a\) in place of 2 \(a, b\), the same in another order'),
        (names('a'), r'1 are missing there \(b\); set val_dataloader\.dataset\.metainfo\.classes'),
        (names('a', 'B'), r'1 are missing there \(b\); 1 are new there \(B\)'),
        (SimpleNamespace(metainfo={}, reduce_zero_label=False), r'names no classes.* 2 \(a, b\)'),
    ],
)
def test_other_classes_are_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        check_classes('val_dataloader', dataset, TrainedClasses(('a', 'b')))


def test_classes_that_are_not_compared():
    for dataset in (
        names('a', 'b'),
        SimpleNamespace(metainfo=dict(classes=['a', 'b'])),
        SimpleNamespace(metainfo={}),  # labels by number
        names('x', return_classes=True),  # a prompt
        [],
    ):
        check_classes('val_dataloader', dataset, TrainedClasses(('a', 'b')))
    check_classes('val_dataloader', names('x'), TrainedClasses())


def test_names_that_another_release_spells_otherwise(tmp_path):
    """Two of ImageNet's thousand, in checkpoints of the official mmpretrain and of its fork."""
    ours = [f'n{i}' for i in range(1000)]
    theirs = ['bear, Ursus americanus' if i == 295 else name for i, name in enumerate(ours)]
    save(tmp_path / 'a.pth', theirs)
    check_classes(
        'test_dataloader', names(*ours), TrainedClasses.from_checkpoint(str(tmp_path / 'a.pth'))
    )
    with pytest.raises(ValueError, match=r'1 are missing there .*; 1 are new there'):
        check_classes('val_dataloader', names(*ours), TrainedClasses(theirs))
    for other in (ours[:2] + ours[3:4] + ours[2:3] + ours[4:], ours[:-1], [*ours, 'more']):
        save(tmp_path / 'a.pth', other)
        with pytest.raises(ValueError, match='has other classes than the checkpoint'):
            check_classes(
                'test_dataloader',
                names(*ours),
                TrainedClasses.from_checkpoint(str(tmp_path / 'a.pth')),
            )


def test_resuming_with_other_classes(tmp_path):
    """As many as before, so that all tensors fit."""
    fill(tmp_path / 'train', 'abd')
    fill(tmp_path / 'val', 'abd')
    save(tmp_path / 'a.pth', list('abd'))
    given = ('--cfg-options', 'resume=True', f'load_from={tmp_path / "a.pth"}')
    make_runner(tmp_path, tmp_path, *given)
    save(tmp_path / 'a.pth', list('abc'))
    with pytest.raises(ValueError, match=r'train_dataloader has other classes than the checkpoint'):
        make_runner(tmp_path, tmp_path, *given)


def test_classes_of_checkpoints(tmp_path):
    save(tmp_path / 'a.pth', ['a', 'b'])
    assert trained_classes(str(tmp_path / 'a.pth')) == ('a', 'b')
    torch.save(dict(a=torch.zeros(2)), tmp_path / 'a.pth')
    assert trained_classes(str(tmp_path / 'a.pth')) is None
    torch.save(
        dict(meta=dict(dataset_meta=dict(classes=['a']))),
        tmp_path / 'a.pth',
        _use_new_zipfile_serialization=False,
    )
    assert trained_classes(str(tmp_path / 'a.pth')) == ('a',)


def test_a_training_set_without_names(tmp_path):
    """Its labels are numbers: folders can be those classes only if they are as many."""
    fill(tmp_path / 'train', 'abc')
    (tmp_path / 'list.txt').write_text('a/a0.png 0\nb/b0.png 1\nc/c0.png 2\n')
    fill(tmp_path / 'val', 'bc')
    given = ('--cfg-options', f'train_dataloader.dataset.ann_file={tmp_path / "list.txt"}')
    with pytest.raises(ValueError, match=r'3 classes.* 2 \(b, c\).*training set does not name'):
        make_runner(tmp_path, tmp_path, *given)
    runner = make_runner(tmp_path, tmp_path, *given, 'val_dataloader.dataset.classes=[a,b,c]')
    assert labels(runner.val_loop.dataloader.dataset) == dict(b=1, c=2)
