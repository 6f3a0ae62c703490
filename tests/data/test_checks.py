"""COCO annotation files beside images and classes that do and do not belong to them."""

import json

import pytest

from wamim_mm.data.checks import check_coco

NAMES = ('cat', 'dog', 'bird')


@pytest.fixture
def dataset(tmp_path):
    """Config of a data set of four images and three classes; one class has no object."""
    (tmp_path / 'train').mkdir()
    images = [dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in range(4)]
    for image in images:
        (tmp_path / 'train' / image['file_name']).touch()
    write(
        tmp_path / 'train.json',
        images=images,
        categories=[dict(id=10 * i, name=name) for i, name in enumerate(NAMES)],
        annotations=[],
    )
    return dict(
        type='CocoDataset',
        data_root=str(tmp_path),
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=NAMES),
        pipeline=[dict(type='NoSuchTransform')],  # no business of the check
    )


def write(path, **content):
    path.write_text(json.dumps(content))


def edit(path, **content):
    write(path, **(json.loads(path.read_text()) | content))


def test_a_good_data_set(dataset, tmp_path):
    check_coco(dataset, 'mmdet')
    check_coco({**dataset, 'type': 'mmdet.CocoDataset'}, 'mmpretrain')
    (tmp_path / 'train' / '4.jpg').touch()  # more images than annotations
    check_coco({**dataset, 'metainfo': dict(classes=('bird', 'cat'))}, 'mmdet')  # a subset, sorted


def test_missing_images(dataset, tmp_path):
    for i in (1, 3):
        (tmp_path / 'train' / f'{i}.jpg').unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r'2 of the 4 images of .*train\.json.* \(.*train/1\.jpg, .*3\.jpg\)',
    ):
        check_coco(dataset, 'mmdet')


def test_images_in_subfolders(dataset, tmp_path):
    images = [dict(id=i, file_name=f'part/{i}.jpg') for i in range(5)]
    edit(tmp_path / 'train.json', images=images)
    (tmp_path / 'train' / 'part').mkdir()
    with pytest.raises(FileNotFoundError, match=r'5 of the 5 images .*part/2\.jpg, \.\.\.\)'):
        check_coco(dataset, 'mmdet')
    for image in images:
        (tmp_path / 'train' / image['file_name']).touch()
    check_coco(dataset, 'mmdet')


@pytest.mark.parametrize('wrap', [lambda d: dict(dataset=d), lambda d: dict(datasets=[d, d])])
def test_wrappers(dataset, tmp_path, wrap):
    wrapped = dict(type='RepeatDataset', **wrap(dataset))
    check_coco(wrapped, 'mmdet')
    (tmp_path / 'train' / '0.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='1 of the 4 images'):
        check_coco(wrapped, 'mmdet')


@pytest.mark.parametrize(
    ('metainfo', 'message'),
    [
        ({}, r'has 80 classes, and 77 of them \(person, bicycle, car, \.\.\.\).* 3 categories'),
        (dict(classes=(*NAMES, 'cow')), r'has 4 classes, and 1 of them \(cow\).* 3 categories'),
    ],
)
def test_classes_that_the_file_does_not_have(dataset, metainfo, message):
    with pytest.raises(ValueError, match=message):
        check_coco({**dataset, 'metainfo': metainfo}, 'mmdet')


@pytest.mark.parametrize('content', ['{"images": [', '[]', '{"images": []}'])
def test_damaged_files(dataset, tmp_path, content):
    (tmp_path / 'train.json').write_text(content)
    with pytest.raises(ValueError, match=r"train\.json' is not in COCO's format, or damaged"):
        check_coco(dataset, 'mmdet')


@pytest.mark.parametrize(
    'other',
    [
        dict(type='NoSuchDataset'),
        dict(type='VOCDataset'),
        dict(backend_args=dict(backend='petrel'), data_root='s3://coco'),
    ],
)
def test_other_data_sets_are_left_alone(dataset, other):
    check_coco({**dataset, 'ann_file': 'nowhere', **other}, 'mmdet')
    check_coco(dict(type='CustomDataset', data_root='nowhere'), 'mmpretrain')
