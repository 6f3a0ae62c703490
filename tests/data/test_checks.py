"""Annotation files of classification, and data sets of another task than the model's."""

from types import SimpleNamespace

import pytest
from mmdet.models import FCOS
from mmengine.registry import DATASETS, init_default_scope
from mmpretrain.models import ImageClassifier, LinearClsHead
from mmseg.models import EncoderDecoder
from PIL import Image
from torch import nn

from wamim_mm.data.checks import build_dataset, check_dataset


@pytest.fixture
def listed(tmp_path):
    """Checks a data set of four images with this annotation file, for a head of three classes."""
    init_default_scope('mmpretrain')
    for i in range(4):
        Image.new('RGB', (8, 8)).save(tmp_path / f'{i}.png')

    def check(text, **options):
        (tmp_path / 'train.txt').write_text(text)
        config = dict(type='CustomDataset', data_root=str(tmp_path), ann_file='train.txt')
        config |= dict(pipeline=[], **options)
        name = 'train_dataloader'
        built, files = build_dataset(lambda: DATASETS.build(config), name, config, 'mmpretrain')
        model = nn.ModuleDict(dict(head=LinearClsHead(3, 4)))
        check_dataset(name, built, files, model, [])

    return check


GOOD = '0.png 0\n1.png 1\n2.png 2\n3.png 2\n'


def test_good_files(listed):
    listed(GOOD)
    listed(GOOD, classes=['a', 'b', 'c'])
    listed(GOOD.replace('2\n', '3\n'), classes=['a', 'b', 'c', 'd'])  # ClassCountHook's business
    listed('0.png\n1.png\n', with_label=False)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            GOOD.replace(' 2', ' 3'),
            r"has the label 3 for '.*2\.png' \(and 1 more of 4 .* 3 classes",
        ),
        (GOOD.replace(' 0', ' -1'), r'has the label -1 for .* 0 to 2; .*model\.head\.num_classes'),
        (GOOD + '9.png 0\n', r"1 of 5 images of '.*train\.txt' .* do not exist \(.*9\.png\)"),
        (GOOD.replace(' ', ','), r"train\.txt', line 1: '0\.png,0' is no file name and number"),
        (GOOD + '\n', r"line 5: '' is no file name"),
        (GOOD.replace(' 2', ' cat'), r"line 3: '2\.png cat' is no file name and number"),
        ('', r"train\.txt' is empty; set train_dataloader\.dataset\.ann_file"),
    ],
)
def test_bad_files(listed, text, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        listed(text)
    assert '\n' not in str(caught.value)


def test_more_samples_than_there_are(listed):
    listed(GOOD, indices=[0, 3])
    with pytest.raises(ValueError, match=r'^train_dataloader\.dataset\.indices: there are not so'):
        listed(GOOD, indices=[0, 4])


def test_no_image_with_these_suffixes(tmp_path):
    init_default_scope('mmpretrain')
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '1.webp').touch()
    config = dict(type='CustomDataset', data_root=str(tmp_path), pipeline=[])
    with pytest.raises(
        FileNotFoundError,
        match=r"1 class folders \(a\) in .*, which hold 1 \.webp; .* data set's extensions",
    ):
        build_dataset(lambda: DATASETS.build(config), 'x', config, 'mmpretrain')


@pytest.mark.parametrize(
    ('model', 'packer'),
    [
        (FCOS, 'mmpretrain.PackInputs'),
        (FCOS, 'mmseg.PackSegInputs'),
        (EncoderDecoder, 'mmdet.PackDetInputs'),
        (ImageClassifier, 'mmdet.PackDetInputs'),
        (FCOS, 'mmdet.PackDetInputs'),
        (EncoderDecoder, 'mmseg.PackSegInputs'),
        (ImageClassifier, 'mmpretrain.PackInputs'),
        (nn.Identity, 'mmpretrain.PackInputs'),
    ],
)
def test_samples_for_models_of_another_task(model, packer):
    from mmengine.registry import TRANSFORMS

    pipeline = SimpleNamespace(transforms=[TRANSFORMS.build(dict(type=packer))])
    dataset = SimpleNamespace(pipeline=pipeline)
    library = model.__module__.split('.')[0]
    bare = model.__new__(model)
    nn.Module.__init__(bare)
    if library in (packer.split('.')[0], 'torch'):
        check_dataset('train_dataloader', dataset, {}, bare, [])
        return
    with pytest.raises(ValueError, match=rf'{model.__name__}, is one of {library}'):
        check_dataset('train_dataloader', dataset, {}, bare, [])
