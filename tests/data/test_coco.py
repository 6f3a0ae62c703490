"""COCO annotation files beside images, classes and models that they do and do not belong to."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from pycocotools import coco as pycocotools
from torch import nn

from wamim_mm.data.checks import build_dataset, check_dataset, check_evaluator_files
from wamim_mm.data.coco import _unpacked, check_content, parsed_files

NAMES = ('cat', 'dog', 'bird')
TRIANGLE = [[0, 0, 4, 0, 4, 4]]


@pytest.fixture
def dataset(tmp_path):
    """Config of a data set of twelve images with an object each, of three classes."""
    init_default_scope('mmdet')
    (tmp_path / 'train').mkdir()
    images = [dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in range(12)]
    for image in images:
        (tmp_path / 'train' / image['file_name']).touch()
    write(
        tmp_path / 'train.json',
        images=images,
        categories=[dict(id=10 * i, name=name) for i, name in enumerate(NAMES)],  # not from 1
        annotations=[
            dict(id=i + 1, image_id=i, category_id=10 * (i % 3), bbox=[0, 0, 4, 4], area=16)
            | dict(iscrowd=0, segmentation=TRIANGLE)
            for i in range(12)
        ],
    )
    return dict(
        type='CocoDataset',
        data_root=str(tmp_path),
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=NAMES),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[],
    )


def rle(size, counts):
    return dict(size=size, counts=counts)


def write(path, **content):
    path.write_text(json.dumps(content))


def edit(path, **content):
    write(path, **(json.loads(path.read_text()) | content))


def edit_all(path, key, change):
    records = json.loads(path.read_text())[key]
    for place, record in enumerate(records):
        change(place, record)
    edit(path, **{key: records})


def check(config, metrics=None, name='train_dataloader'):
    """As before a run; metrics are built where a loop builds them."""
    made = []

    def build():
        built = DATASETS.build(config)
        made.extend(metrics() if metrics else [])
        return built

    built, files = build_dataset(build, name, config, 'mmdet')
    check_dataset(name, built, files, nn.Identity(), made)


def notes(config, level=logging.WARNING, **arguments):
    """What is said of a data set that is taken."""
    records = []
    handler = logging.Handler(level)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.setLevel(level)
    logger.addHandler(handler)
    check(config, **arguments)
    logger.removeHandler(handler)
    return records


def masked(config):
    return config | dict(pipeline=[dict(type='LoadAnnotations', with_bbox=True, with_mask=True)])


def test_a_good_data_set(dataset, tmp_path):
    assert notes(masked(dataset)) == []
    check({**dataset, 'type': 'mmdet.CocoDataset'})
    (tmp_path / 'train' / '99.jpg').touch()  # more images than annotations
    check({**dataset, 'metainfo': dict(classes=('cat', 'bird'))})  # a part of the categories


def test_a_file_is_parsed_once(dataset, tmp_path, monkeypatch):
    parsed, load = [], json.load
    monkeypatch.setattr(
        pycocotools.json, 'load', lambda file: parsed.append(file.name) or load(file)
    )
    monkeypatch.setattr('wamim_mm.data.checks.read_file', None)
    check(dataset)
    check(dict(type='RepeatDataset', times=2, dataset=dataset))
    assert parsed == [str(tmp_path / 'train.json')] * 2
    init = pycocotools.COCO.__init__
    with parsed_files():
        assert pycocotools.COCO.__init__ is not init
    assert pycocotools.COCO.__init__ is init


def test_missing_images(dataset, tmp_path):
    for i in (1, 3):
        (tmp_path / 'train' / f'{i}.jpg').unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r'2 of the 12 images of .*train\.json.* \(.*train/1\.jpg, .*3\.jpg\)',
    ):
        check(dataset)


def sized(dataset, tmp_path, sizes, **save):
    """The data set with images that can be loaded, of these widths and heights."""
    for i, size in enumerate(sizes):
        Image.new('RGB', size).save(tmp_path / 'train' / f'{i}.jpg', **save)
    return dataset | dict(pipeline=[dict(type='LoadImageFromFile')])


@pytest.mark.parametrize('loader', ['LoadImageFromFile', 'mmpretrain.LoadImage'])
def test_images_of_another_size_than_the_file_says(dataset, tmp_path, loader):
    loads = sized(dataset, tmp_path, [(8, 8)] * 12) | dict(pipeline=[dict(type=loader)])
    assert notes(loads) == []
    sized(dataset, tmp_path, [(4, 4)] * 12)
    message = "12 of 12 images .* '0.jpg': 8 x 8 there, 4 x 4 as it is loaded; the boxes are of"
    with pytest.raises(ValueError, match=message):
        check(loads)
    (tmp_path / 'train' / '0.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='do not exist'):
        check(loads)


def test_images_that_exif_turns(dataset, tmp_path):
    """Boxes may be of the image as it lies, or of the turned one: the loader decides."""
    exif = Image.Exif()
    exif[0x0112] = 6
    edit_all(tmp_path / 'train.json', 'images', lambda place, image: image.update(width=12))
    loads = sized(dataset, tmp_path, [(12, 8)] * 12, exif=exif)
    with pytest.raises(ValueError, match='8 x 12 as it is loaded; its EXIF turns it'):
        check(loads)
    loads['pipeline'][0]['color_type'] = 'color_ignore_orientation'
    assert notes(loads) == []


def test_a_few_odd_images_of_many(dataset, tmp_path):
    images = [dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in range(40)]
    edit(tmp_path / 'train.json', images=images)
    loads = sized(dataset, tmp_path, [(4, 4)] + [(8, 8)] * 39)
    (note,) = notes(loads)
    assert '1 of 20 images that were looked at have another size' in note
    (tmp_path / 'train' / '2.jpg').write_bytes(b'no image')
    assert len(notes(loads)) == 1


def test_images_in_subfolders(dataset, tmp_path):
    edit_all(tmp_path / 'train.json', 'images', lambda i, x: x.update(file_name=f'part/{i}.jpg'))
    with pytest.raises(FileNotFoundError, match=r'12 of the 12 images .*part/2\.jpg, \.\.\.\)'):
        check(dataset)
    (tmp_path / 'train').rename(tmp_path / 'part')
    (tmp_path / 'train').mkdir()
    (tmp_path / 'part').rename(tmp_path / 'train' / 'part')
    check(dataset)


@pytest.mark.parametrize('wrap', [lambda d: dict(dataset=d, times=2), lambda d: dict(datasets=[d])])
def test_wrappers(dataset, tmp_path, wrap):
    parts = wrap(dataset)
    wrapped = dict(type='RepeatDataset' if 'times' in parts else 'ConcatDataset', **parts)
    check(wrapped)
    (tmp_path / 'train' / '0.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='1 of the 12 images'):
        check(wrapped)


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (None, r'has 80 classes, and 77 of them \(person, bicycle, car, \.\.\.\).* 3 categories'),
        ((*NAMES, 'cow'), r'has 4 classes, and 1 of them \(cow\).* 3 categories'),
        (('cow',), r'has 1 classes, and 1 of them \(cow\)'),  # mmdet: "need at least one array"
        (('bird', 'cat', 'dog'), r'another order \(cat, dog, bird\) than .* \(bird, cat, dog\)'),
    ],
)
def test_classes_that_the_file_does_not_have(dataset, classes, message):
    with pytest.raises(ValueError, match=message):
        check({**dataset, 'metainfo': dict(classes=classes) if classes else {}})


def test_why_the_order_of_classes_matters(dataset):
    """mmdet's labels follow the file: a cat is label 0, whatever the name of class 0."""
    built = DATASETS.build({**dataset, 'metainfo': dict(classes=('bird', 'cat', 'dog'))})
    assert built.get_data_info(0)['instances'][0]['bbox_label'] == 0


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"images": [', 'is not JSON, or ends too early'),
        (b'{"images": [,]}', 'is not JSON, or is damaged'),
        (b'', 'is not JSON, or ends too early'),
        (b'[{"image_id": 1}]', 'holds a list, as the results of a detector are, in place of'),
        (b'3', 'holds a int, in place of'),
        (b'{"images": []}', "damaged: 'categories' is to be a list, found nothing"),
        (b'{"images": {}, "categories": []}', "'images' is to be a list, found a dict"),
        (b'{"images": [1], "categories": []}', r'1 of 1 images are no objects \(1\)'),
        (b'{"images": [{}], "categories": []}', "1 of 1 images have no 'id'; such as {}"),
        (b'{"images": [], "categories": ["cat"]}', "1 of 1 categories are no objects .'cat'"),
        (b'\xef\xbb\xbf{"images": []}', 'begins with a byte order mark; save it as UTF-8'),
        ('{"images": []}'.encode('utf-16'), 'begins with a byte order mark'),
        (b'{"images": ["\xe9"]}', 'is not in UTF-8'),
    ],
)
def test_files_of_another_format(dataset, tmp_path, content, message):
    (tmp_path / 'train.json').write_bytes(content)
    with pytest.raises(ValueError, match=rf"train\.json'.*{message}"):
        check(dataset)


def first(place, **values):
    """Change the first record, leave the others."""
    return lambda i, x: x.update(values) if i == place else None


ANNOTATIONS, IMAGES, CATEGORIES = 'annotations', 'images', 'categories'


@pytest.mark.parametrize(
    ('key', 'change', 'message'),
    [
        (
            IMAGES,
            lambda i, x: x.update(id=str(i)),
            "12 of 12 images have an 'id' that is no number",
        ),
        (IMAGES, first(0, id=1), r'1 ids of images are not unique \(1\)'),
        (IMAGES, lambda i, x: x.pop('width'), "12 of 12 images have no 'width' or 'height'"),
        (IMAGES, first(3, height='8'), "1 of 12 images have no 'width' or 'height'"),
        (IMAGES, lambda i, x: x.pop('file_name'), "12 of 12 images have no 'file_name'"),
        (CATEGORIES, first(0, id=10), r'1 ids of categories are not unique \(10\)'),
        (CATEGORIES, lambda i, x: x.pop('name'), "3 of 3 categories have no 'name'"),
        (ANNOTATIONS, first(0, id=2), r'1 ids of annotations are not unique \(2\)'),
        (ANNOTATIONS, lambda i, x: x.pop('id'), "12 of 12 annotations have no 'id'"),
        (ANNOTATIONS, lambda i, x: x.pop('image_id'), "12 of 12 annotations have no 'image_id'"),
        (ANNOTATIONS, lambda i, x: x.update(image_id=99), r'12 .* none of the images \(0, 1, 2'),
        (ANNOTATIONS, lambda i, x: x.update(image_id='1'), '12 .* none of the images .* "1"'),
        (ANNOTATIONS, lambda i, x: x.update(image_id=5), 'all 12 .* belong to one image, id 5'),
        (ANNOTATIONS, first(0, category_id=7), r'1 of 12 .* none of the categories \(0, 10, 20\)'),
        (ANNOTATIONS, lambda i, x: x.pop('bbox'), "12 of 12 annotations have no 'bbox'"),
        (ANNOTATIONS, first(0, bbox=[1, 2, 3]), "1 .* a 'bbox' that is not .* such as {.*1, 2, 3"),
        (ANNOTATIONS, first(0, bbox=[1, 2, 3, None]), "1 of 12 .* a 'bbox' that is not"),
        (ANNOTATIONS, first(0, bbox=[1, 2, 3, float('nan')]), "1 of 12 .* a 'bbox' that is not"),
        (ANNOTATIONS, lambda i, x: x.pop('area'), "12 of 12 annotations have no 'area'"),
        (ANNOTATIONS, lambda i, x: x.update(bbox=[0, 0, 0, 4]), '12 .* box without area'),
        (ANNOTATIONS, lambda i, x: x.update(bbox=[4, 4, -3, -3]), '12 .* box without area'),
        (ANNOTATIONS, lambda i, x: x.update(bbox=[0.1, 0.1, 0.5, 0.5]), '12 .* in pixels'),
        (
            ANNOTATIONS,
            lambda i, x: x.update(bbox=[4, 4, 8, 8]),
            r'12 of 12 boxes reach .* not \[x1',
        ),
        (ANNOTATIONS, lambda i, x: x.pop('segmentation'), "12 of 12 .* have no 'segmentation'"),
        (ANNOTATIONS, first(4, segmentation=[]), r"1 of 12 .* no 'segmentation' \(id 5\).*metric="),
        (ANNOTATIONS, first(4, segmentation='RLE'), r'1 of 12 .* pycocotools cannot read.*"RLE"'),
        (
            ANNOTATIONS,
            first(4, segmentation=[1, 2, 3, 4, 5, 6]),
            r'1 of 12 .* read, such as \[1, 2',
        ),
        (ANNOTATIONS, first(4, segmentation=dict(counts=[3])), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, lambda i, x: x.update(segmentation=[[1, 2]]), r'12 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 4], [32])), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 8], [50, 10])), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 8], [70, -6])), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 8], [])), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 8], '')), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 8], 'P1')), r'1 of 12 .* cannot read'),
        (ANNOTATIONS, first(4, segmentation=rle([8, 8], 'Pé')), r'1 of 12 .* cannot read'),
    ],
)
def test_records_that_cannot_be_used(dataset, tmp_path, key, change, message):
    edit_all(tmp_path / 'train.json', key, change)
    with pytest.raises(ValueError, match=rf"train\.json'.*{message}") as caught:
        check(masked(dataset))
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 600 + len(str(tmp_path)) * 2


def test_several_categories_of_one_name(dataset, tmp_path):
    edit(
        tmp_path / 'train.json',
        categories=[dict(id=10 * i, name=('cat', 'dog', 'cat')[i]) for i in range(3)],
    )
    with pytest.raises(ValueError, match=r'several categories of one name \(cat\)'):
        check({**dataset, 'metainfo': dict(classes=('cat', 'dog'))})


@pytest.mark.parametrize(
    ('change', 'note'),
    [
        (dict(image_id=99), '1 of 12 annotations belong to none of the images and are left out'),
        (dict(bbox=[0, 0, 0, 4]), '1 of 12 annotations have a box without area in their image'),
        (dict(segmentation=[[1, 2]]), '1 of 12 annotations have no polygon of three points'),
    ],
)
def test_single_records_are_counted(dataset, tmp_path, change, note):
    edit_all(tmp_path / 'train.json', 'annotations', first(0, **change))
    (said,) = notes(masked(dataset))
    assert note in said and 'train.json' in said


@pytest.mark.parametrize(
    'mask', [TRIANGLE, dict(size=[8, 8], counts=[64]), dict(size=[8, 8], counts='P2')]
)
def test_masks_that_pycocotools_reads(dataset, tmp_path, mask):
    pycocotools.maskUtils.decode(
        pycocotools.maskUtils.frPyObjects([mask] if isinstance(mask, dict) else mask, 8, 8)
        if not isinstance(mask, dict) or isinstance(mask['counts'], list)
        else mask
    )
    edit_all(tmp_path / 'train.json', 'annotations', lambda i, x: x.update(segmentation=mask))
    assert notes(masked(dataset)) == []


def test_compressed_masks_are_unpacked_as_pycocotools_packs_them():
    random = np.random.default_rng(0)
    for density in (0, 0.01, 0.5, 0.99, 1) * 20:
        height, width = random.integers(1, 90, 2)
        mask = np.asfortranarray(random.random((height, width)) < density, np.uint8)
        runs = _unpacked(pycocotools.maskUtils.encode(mask)['counts'].decode())
        pixels = np.repeat(np.arange(len(runs)) % 2, runs)
        assert (pixels == mask.flatten(order='F')).all()


def test_masks_that_training_passes_over_cannot_be_scored(dataset, tmp_path):
    """pycocotools ends the evaluation, after the training."""
    path = tmp_path / 'train.json'
    edit_all(path, 'annotations', first(0, segmentation=[[1, 2, 3]]))
    content = json.loads(path.read_text())
    check_content(str(path), content, NAMES, masks=True, training=True)
    with pytest.raises(ValueError, match=r'1 of 12 .* \(id 1\), which pycocotools cannot score'):
        check_content(str(path), content, NAMES, masks=True, scored=True)


def test_categories_that_are_no_classes_are_counted(dataset, tmp_path):
    edit(
        tmp_path / 'train.json',
        categories=[dict(id=10 * i, name=name) for i, name in enumerate((*NAMES, 'cow'))],
    )
    (said,) = notes(dataset)
    assert '1 of 4 categories (cow) are none of the 3 classes' in said


def test_no_annotations(dataset, tmp_path):
    edit(tmp_path / 'train.json', annotations=[])
    with pytest.raises(ValueError, match=r"train\.json' has no annotations, and 12 images"):
        check(dataset)


def test_crowds_alone(dataset, tmp_path):
    """mmdet passes over them: nothing would be learnt, at a loss of zero."""
    path = tmp_path / 'train.json'
    edit_all(path, 'annotations', lambda i, x: x.update(iscrowd=1 if i else 0))
    check(dataset)
    edit_all(path, 'annotations', lambda i, x: x.update(iscrowd=1))
    with pytest.raises(ValueError, match=r"train\.json': 12 of 12 annotations are crowds"):
        check(dataset)


def test_images_without_objects_are_counted(dataset, tmp_path):
    """As many of COCO's are; mmdet leaves them out of training without a word."""
    edit_all(tmp_path / 'train.json', 'annotations', lambda i, x: x.update(image_id=i // 3))
    (said,) = notes(dataset, logging.INFO)
    assert '8 of 12 images are left out of training' in said and 'train.json' in said
    assert notes({**dataset, 'filter_cfg': None}, logging.INFO) == []
    assert notes(dataset | dict(indices=2), logging.INFO) == []
    assert notes(dataset | dict(test_mode=True), logging.INFO) == []


def test_nothing_left_after_the_filter(dataset):
    with pytest.raises(ValueError, match=r'train_dataloader is empty: .*filter_cfg'):
        check({**dataset, 'filter_cfg': dict(min_size=32)})


def test_a_fault_that_is_not_the_files_stays_what_it_is(dataset):
    with pytest.raises(KeyError, match='NoSuchTransform'):
        check({**dataset, 'pipeline': [dict(type='NoSuchTransform')]})


def test_test_images_without_annotations(dataset, tmp_path):
    """Of a challenge: predictions are written, and nobody scores them here."""
    content = json.loads((tmp_path / 'train.json').read_text())
    del content['annotations']
    write(tmp_path / 'train.json', **content)
    path = str(tmp_path / 'train.json')
    config = {**dataset, 'test_mode': True}
    written = dict(ann_file=path, format_only=True, outfile_prefix=str(tmp_path / 'out'))
    check(config, lambda: [CocoMetric(**written)], 'test_dataloader')
    with pytest.raises(ValueError, match="'annotations' is to be a list, found nothing"):
        check(config, lambda: [CocoMetric(ann_file=path)], 'test_dataloader')


# The evaluator's file


@pytest.mark.parametrize('file', ['train.json', 'other.json'])
def test_what_scoring_needs(dataset, tmp_path, file):
    config = {**dataset, 'test_mode': True}
    path = tmp_path / file
    write(path, **json.loads((tmp_path / 'train.json').read_text()))

    def validate(metric='bbox'):
        check(config, lambda: [CocoMetric(str(path), metric)], 'val_dataloader')

    validate()
    validate(['bbox', 'segm'])
    edit_all(path, 'annotations', lambda i, x: x.pop('segmentation'))
    validate()
    with pytest.raises(ValueError, match=rf"{file}'.* have no 'segmentation'.*metric='bbox'"):
        validate(['bbox', 'segm'])
    edit_all(path, 'annotations', lambda i, x: x.pop('iscrowd'))
    with pytest.raises(ValueError, match=rf"{file}': 12 of 12 .* 'iscrowd', which scoring needs"):
        validate()


def test_scoring_with_the_file_of_other_images(dataset, tmp_path):
    write(tmp_path / 'other.json', **json.loads((tmp_path / 'train.json').read_text()))
    edit_all(tmp_path / 'other.json', 'images', lambda i, x: x.update(file_name=f'{i + 1}.jpg'))
    with pytest.raises(
        ValueError, match=r"scores with '.*other\.json', in which 12 of 12 images .* ann_file"
    ):
        check(dataset, lambda: [CocoMetric(str(tmp_path / 'other.json'))], 'val_dataloader')


def test_the_evaluators_file_is_missing(tmp_path):
    for evaluator, option in (
        (dict(ann_file='nowhere.json'), r'val_evaluator\.ann_file'),
        ([dict(), dict(ann_file='nowhere.json')], r'val_evaluator\.1\.ann_file'),
    ):
        with pytest.raises(FileNotFoundError, match=rf"'nowhere\.json' does not exist.*{option}"):
            check_evaluator_files(dict(val_evaluator=evaluator), 'val_dataloader')
    for evaluator in (None, dict(ann_file='s3://bucket/a.json'), dict(type='CocoMetric')):
        check_evaluator_files(dict(val_evaluator=evaluator), 'val_dataloader')


# Real files


@pytest.mark.parametrize('split', ['train2017', 'val2017'])
def test_real_annotations(shared_data, split):
    """Of COCO 2017, with all its categories."""
    root = shared_data / 'tiny_coco'
    init_default_scope('mmdet')
    path = root / 'annotations' / f'instances_{split}.json'
    config = dict(
        type='CocoDataset', ann_file=str(path), data_prefix=dict(img=str(root / split)), pipeline=[]
    )
    assert notes(masked(config)) == []
    metrics = lambda: [CocoMetric(str(path), ['bbox', 'segm'])]  # noqa: E731
    assert notes(config, metrics=metrics, name='val_dataloader') == []


def test_other_data_sets_are_left_alone():
    """Those of other formats, and on other storages."""
    for config in (dict(type='VOCDataset'), dict(type='CocoDataset')):
        elsewhere = dict(data_root='s3://coco', backend_args=dict(backend='petrel'))
        with pytest.raises(ZeroDivisionError):
            build_dataset(lambda: 1 / 0, 'train_dataloader', config | elsewhere, 'mmdet')
    check_dataset('train_dataloader', SimpleNamespace(), {}, nn.Identity(), [])
