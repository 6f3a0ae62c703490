"""COCO annotation files beside images and classes that do and do not belong to them."""

import json

import pytest
from mmengine.registry import DATASETS, init_default_scope

from wamim_mm.data import checks
from wamim_mm.data.checks import check_annotations, check_coco

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
        dict(type='VOCDataset'),
        dict(backend_args=dict(backend='petrel'), data_root='s3://coco'),
    ],
)
def test_other_data_sets_are_left_alone(dataset, other):
    check_coco({**dataset, 'ann_file': 'nowhere', **other}, 'mmdet')
    check_coco(dict(type='CustomDataset', data_root='nowhere'), 'mmpretrain')


# A dataset as mmdet builds it


@pytest.fixture
def annotated(dataset, tmp_path):
    """With an object of each class, so that mmdet keeps all images, and with images of one size."""
    objects = [
        dict(id=i, image_id=i, category_id=10 * (i % 3), bbox=[0, 0, 4, 4], area=16, iscrowd=0)
        for i in range(4)
    ]
    edit(tmp_path / 'train.json', annotations=objects)
    return {**dataset, 'pipeline': [], 'filter_cfg': dict(filter_empty_gt=True)}


def check(config, monkeypatch):
    """How often the file was parsed by us."""
    init_default_scope('mmdet')
    parsed = []
    monkeypatch.setattr(checks, 'check_coco', lambda *a: parsed.append(a) or check_coco(*a))
    check_annotations(lambda: DATASETS.build(config), config, 'mmdet')
    return len(parsed)


def test_a_good_file_is_parsed_by_mmdet_alone(annotated, monkeypatch):
    assert check(annotated, monkeypatch) == 0
    assert check(dict(type='RepeatDataset', times=2, dataset=annotated), monkeypatch) == 0


@pytest.mark.parametrize('wrap', [lambda d: d, lambda d: dict(type='ConcatDataset', datasets=[d])])
def test_a_bad_file_is_parsed_again_to_say_what_is_wrong(annotated, tmp_path, monkeypatch, wrap):
    with pytest.raises(ValueError, match='has 4 classes, and 1 of them'):
        check(wrap({**annotated, 'metainfo': dict(classes=(*NAMES, 'cow'))}), monkeypatch)
    # mmdet: "need at least one array to concatenate".
    with pytest.raises(ValueError, match='has 1 classes, and 1 of them'):
        check(wrap({**annotated, 'metainfo': dict(classes=('cow',))}), monkeypatch)
    (tmp_path / 'train' / '2.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='1 of the 4 images'):
        check(wrap(annotated), monkeypatch)
    (tmp_path / 'train.json').write_text('{"images": [')
    with pytest.raises(ValueError, match=r"train\.json' is not in COCO's format, or damaged"):
        check(wrap(annotated), monkeypatch)


def test_a_fault_that_is_not_the_files_stays_what_it_is(annotated, monkeypatch):
    with pytest.raises(KeyError, match='NoSuchTransform'):
        check({**annotated, 'pipeline': [dict(type='NoSuchTransform')]}, monkeypatch)
