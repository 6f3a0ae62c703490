"""Label maps of segmentation that do and do not belong to their images and classes."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope
from mmseg.models import FCNHead
from PIL import Image
from torch import nn

from wamim_mm.data import label_maps
from wamim_mm.data.checks import _ignored, build_dataset
from wamim_mm.data.label_maps import check_label_maps

NAMES = ('background', 'thing', 'other')


@pytest.fixture
def data(tmp_path):
    """Writes images and label maps, and builds the data set as a training set."""
    init_default_scope('mmseg')
    (tmp_path / 'images').mkdir()
    (tmp_path / 'maps').mkdir()

    def build(*maps, classes=NAMES, suffix='.jpg', size=None, steps=('Load', 'Maps'), **options):
        for i, label_map in enumerate(maps):
            label_map = np.asarray(label_map)
            image = Image.new('RGB', size or label_map.shape[1::-1])
            image.save(tmp_path / 'images' / f'{i}{suffix}')
            Image.fromarray(label_map).save(tmp_path / 'maps' / f'{i}.png')
        loads = dict(
            Load=dict(type='LoadImageFromFile'),
            Resize=dict(type='Resize', scale=(32, 16)),
            Maps=dict(type='LoadAnnotations', **options.pop('loading', {})),
        )
        config = dict(
            type='BaseSegDataset',
            data_root=str(tmp_path),
            data_prefix=dict(img_path='images', seg_map_path='maps'),
            metainfo=dict(classes=classes),
            pipeline=[loads[step] for step in steps],
            **options,
        )
        name = 'train_dataloader'
        return build_dataset(lambda: DATASETS.build(config), name, config, 'mmseg')[0]

    return build


def check(dataset, ignored=(255,), binary=False):
    check_label_maps('train_dataloader', dataset, ignored, binary)


def label_map(*values, dtype=np.uint8, shape=(8, 12)):
    return np.resize(np.array(values, dtype), shape)


def test_good_label_maps(data):
    check(data(label_map(0, 1, 2), label_map(1, 255)))
    check(data(label_map(0, 0), label_map(2), steps=('Load', 'Resize', 'Maps')))  # as in validation
    check(data(label_map(1, 2, 3), label_map(0), reduce_zero_label=True))
    check(data(label_map(0, 1), label_map(200)), ignored=(200,))


def test_palettes_are_numbers(data, tmp_path):
    dataset = data(label_map(0))
    image = Image.fromarray(label_map(0, 1, 2)).convert('P')
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.putdata(label_map(0, 1, 2).ravel().tolist())
    image.save(tmp_path / 'maps' / '0.png')
    check(dataset)


def test_masks_of_0_and_255(data):
    """Nothing would be learnt, and mIoU would be 100: 255 is ignored."""
    dataset = data(*[label_map(0, 255)] * 3, classes=NAMES[:2])
    with pytest.raises(
        ValueError,
        match=r"3 label maps of train_dataloader \(of 3, in '.*maps'\) hold only 0 and 255, where "
        r'255 is ignored: 1 of 2 classes.* saved as 0 and 1',
    ):
        check(dataset)


def test_one_class_after_reduce_zero_label(data):
    dataset = data(*[label_map(0, 1)] * 3, classes=NAMES[:2], reduce_zero_label=True)
    with pytest.raises(ValueError, match=r'reduce_zero_label=True, which ignores 0.*1 of 2'):
        check(dataset)


def test_rare_objects_are_looked_for(data, monkeypatch):
    """One map in many holds the second class: no reason to refuse; reading goes on until it."""
    monkeypatch.setattr(label_maps, 'SAMPLED', 2)
    maps = [label_map(0)] * 11
    for place in range(12):
        check(data(*maps[:place], label_map(1), *maps[place:]))
    with pytest.raises(ValueError, match=r'12 label maps .* hold only 0: 1 of 3 classes'):
        check(data(*maps, label_map(0)))
    # Too many to read them all, and nothing ignored: nothing can be said.
    monkeypatch.setattr(label_maps, 'SECONDS', -1.0)
    check(data(*maps, label_map(0)))


@pytest.mark.parametrize(
    ('values', 'options', 'ignored', 'message'),
    [
        (
            (0, 7),
            {},
            (255,),
            r"0\.png' holds 7, and train_dataloader has 3 classes: .* 0 to 2, or ",
        ),
        ((0, 1, 255), {}, (100,), r'holds 255, .* or 100 for pixels to ignore'),
        ((0, 1, 255), {}, (), r'holds 255, .* values are 0 to 2; number'),
        ((0, 1, 4), dict(reduce_zero_label=True), (255,), r'holds 3, .*after reduce_zero_label'),
    ],
)
def test_values_that_are_no_class(data, values, options, ignored, message):
    with pytest.raises(ValueError, match=message):
        check(data(label_map(*values), **options), ignored)


def test_one_output_for_two_classes(data):
    dataset = data(label_map(0, 1), classes=NAMES[:1])
    check(dataset, binary=True)
    with pytest.raises(ValueError, match=r"has one name, 'background'.* two classes: \('backgr"):
        check_label_maps('val_dataloader', dataset, (255,), True)
    with pytest.raises(ValueError, match='holds 1, and train_dataloader has 1 classes'):
        check(dataset)


def test_label_maps_in_colour(data):
    with pytest.raises(ValueError, match=r"0\.png' is in colour, \(8, 12, 3\)"):
        check(data(label_map(0, 1, 0, shape=(8, 12, 3))))
    # With OpenCV a palette becomes colours, and a grey map stays as it is.
    check(data(label_map(0, 1), loading=dict(imdecode_backend='cv2')))


def test_label_maps_of_16_bits(data):
    with pytest.raises(ValueError, match=r'values up to 300, and mmsegmentation reads 8 bits'):
        check(data(label_map(0, 300, dtype=np.uint16)))


def test_label_maps_of_another_size(data):
    with pytest.raises(ValueError, match=r"0\.png' has 8 x 12 pixels, and its image 12 x 8"):
        check(data(label_map(0, 1), size=(8, 12)))


def test_label_maps_that_are_no_images(data, tmp_path):
    dataset = data(label_map(0, 1))
    (tmp_path / 'maps' / '0.png').write_text('no image')
    with pytest.raises(ValueError, match=r"0\.png' or its image cannot be read: Unidentified"):
        check(dataset)


def test_missing_label_maps(data, tmp_path):
    dataset = data(*[label_map(0, 1)] * 3)
    (tmp_path / 'maps' / '1.png').unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r'1 of 3 label maps of train_dataloader do not exist \(.*1\.png\).* 2 \.png; .*'
        r'train_dataloader\.dataset\.seg_map_suffix',
    ):
        check(dataset)
    with pytest.raises(FileNotFoundError, match=r'3 of 3 label maps .* hold 2 \.png'):
        check(data(seg_map_suffix='_mask.png'))


def test_label_maps_without_an_image_are_counted(data, tmp_path):
    dataset = data(*[label_map(0, 1)] * 3)
    (tmp_path / 'images' / '1.jpg').rename(tmp_path / 'images' / '1.JPG')
    records = []
    logger = MMLogger.get_current_instance()
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logger.addHandler(handler)
    check(data())
    logger.removeHandler(handler)
    assert len(dataset) == 3
    assert records[0].getMessage() == (
        '1 label maps of train_dataloader have no image with the suffix .jpg (1.png)'
    )


def test_images_with_another_suffix(data):
    """mmsegmentation: "need at least one array to concatenate"."""
    with pytest.raises(
        FileNotFoundError,
        match=r"no image with the suffix '\.jpg' in '.*images', which holds 2 \.png; set "
        r'train_dataloader\.dataset\.img_suffix, such as .*img_suffix=\.png',
    ):
        data(*[label_map(0, 1)] * 2, suffix='.png')
    check(data(img_suffix='.png'))


def test_what_is_left_alone(data):
    check(data(label_map(0, 7), steps=('Load',)))  # no labels are read
    check(SimpleNamespace())  # of another library
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    check(data(label_map(0, 1)))
    assert (np.random.get_state()[1] == state[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])


def test_what_the_heads_and_metrics_ignore():
    def head(index):
        return FCNHead(in_channels=4, channels=4, num_classes=3, num_convs=1, ignore_index=index)

    dataset = SimpleNamespace(ignore_index=7)
    model = nn.ModuleDict(dict(decode_head=head(255), auxiliary_head=nn.ModuleList([head(255)])))
    assert _ignored(dataset, model, []) == ({255}, False)
    model['auxiliary_head'].append(head(0))
    assert _ignored(dataset, model, []) == (set(), False)
    assert _ignored(dataset, model, [SimpleNamespace(ignore_index=9)]) == ({9}, False)
    assert _ignored(dataset, nn.Identity(), []) == ({7}, False)
    binary = FCNHead(
        in_channels=4, channels=4, num_classes=2, out_channels=1, threshold=0.5, num_convs=1
    )
    assert _ignored(dataset, nn.ModuleDict(dict(decode_head=binary)), []) == ({255}, True)
