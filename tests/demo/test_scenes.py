"""The built-in scenes: determinism, the three layouts, and what colours give away."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wamim_mm.demo import scenes
from wamim_mm.demo.scenes import CLASSES, LABELS, draw_scene, make_scenes
from wamim_mm.demo.shapes import outline
from wamim_mm.demo.textures import MATERIALS, material, pattern

ARGUMENTS = {'images': 60, 'size': 64, 'seed': 3, 'val_fraction': 0.25}


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def instances(root: Path, split: str) -> dict:
    return json.loads((root / 'annotations' / f'instances_{split}.json').read_text())


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('scenes') / 'out'
    assert make_scenes(out, **ARGUMENTS, workers=1)
    return out


@pytest.fixture(scope='module')
def drawn() -> list[scenes.Scene]:
    return [
        draw_scene(np.random.default_rng([7, i]), size=64, category=i % len(CLASSES))
        for i in range(80 * len(CLASSES))
    ]


# The same files


def test_processes_change_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, 'CHUNK', 7)
    make_scenes(tmp_path / 'out', **ARGUMENTS, workers=2)
    assert files(tmp_path / 'out') == files(folder)


def test_another_seed_gives_other_scenes(folder, tmp_path):
    make_scenes(tmp_path / 'out', **{**ARGUMENTS, 'seed': 4}, workers=1)
    ours, theirs = files(folder), files(tmp_path / 'out')
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours if name.endswith('.jpg'))


def test_more_images_keep_the_earlier_scenes(folder, tmp_path):
    make_scenes(tmp_path / 'out', **{**ARGUMENTS, 'images': 88}, workers=1)
    few, many = files(folder), files(tmp_path / 'out')
    pictures = [name for name in few if name.endswith(('.jpg', '.png'))]
    assert len(pictures) == 2 * 60
    assert all(few[name] == many[name] for name in pictures)
    for split in scenes.SPLITS:
        few, many = instances(folder, split), instances(tmp_path / 'out', split)
        assert many['images'][: len(few['images'])] == few['images']
        assert many['annotations'][: len(few['annotations'])] == few['annotations']


def test_splits_do_not_share_scenes(folder):
    names = [str(p.relative_to(folder / 'val')) for p in (folder / 'val').rglob('*.jpg')]
    assert len(names) == 15
    for name in names:
        assert (folder / 'val' / name).read_bytes() != (folder / 'train' / name).read_bytes()


# What a scene is


def test_scene(drawn):
    for i, scene in enumerate(drawn):
        assert scene.image.shape == (64, 64, 3) and scene.image.dtype == np.uint8
        assert scene.masks.dtype == bool and 1 <= len(scene.masks) <= 4
        assert scene.masks.sum(axis=0).max() == 1, 'visible parts overlap'
        assert not (scene.clutter & scene.masks.any(axis=0)).any()
        assert scene.categories[0] == i % len(CLASSES)
        areas = scene.masks.sum(axis=(1, 2))
        assert areas.min() > 0 and areas[0] > areas[1:].max(initial=0)
        rows, columns = (np.flatnonzero(scene.masks[0].any(axis=a)) for a in (1, 0))
        side = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 0.35 * 64 <= side <= 0.85 * 64
    assert {len(scene.masks) for scene in drawn} == {1, 2, 3, 4}
    assert {scene.material for scene in drawn} == set(range(len(MATERIALS)))


def test_category_is_drawn_when_not_given():
    categories = {draw_scene(np.random.default_rng(i), 32).categories[0] for i in range(60)}
    assert len(categories) > 8
    with pytest.raises(ValueError, match='category must lie from 0 to 11; got 12'):
        draw_scene(np.random.default_rng(0), 32, category=12)


def test_spectrum_is_that_of_natural_images(drawn):
    gray = np.stack([scene.image.mean(axis=2) for scene in drawn])
    gray -= gray.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(64)
    power = (np.abs(np.fft.fft2(gray * window[:, None] * window)) ** 2).mean(axis=0)
    line = np.fft.fftfreq(64, 1 / 64)
    radius = np.rint(np.hypot(line[:, None], line))
    frequencies = np.arange(2, 31)
    mean = [power[radius == f].mean() for f in frequencies]
    slope = np.polyfit(np.log(frequencies), np.log(mean), 1)[0]
    assert -3.0 <= slope <= -1.4


@pytest.mark.parametrize(
    'feature',
    [
        pytest.param(lambda image: image.mean(axis=(0, 1)), id='mean'),
        pytest.param(lambda image: image.std(axis=(0, 1)), id='contrast'),
        pytest.param(
            lambda image: np.histogramdd(image.reshape(-1, 3), 4, [(0, 256)] * 3)[0].ravel() ** 0.5,
            id='histogram',
        ),
    ],
)
def test_colours_do_not_give_the_class_away(drawn, feature):
    x = np.stack([feature(scene.image) for scene in drawn])
    y = np.arange(len(drawn)) % len(CLASSES)
    train = np.arange(len(drawn)) < len(drawn) // 2
    centres = np.stack([x[train & (y == c)].mean(axis=0) for c in range(len(CLASSES))])
    nearest = ((x[~train, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    # Chance is 1 / 12 = 0.083, with a standard deviation of 0.013 over 480 scenes.
    assert (nearest == y[~train]).mean() < 0.3


@pytest.mark.parametrize(
    'draw',
    [
        lambda rng: pattern(rng, 32, 'plain'),
        lambda rng: material(rng, 32, 'plain'),
        lambda rng: outline(rng, 32, 'plain', 0.5, 0),
    ],
)
def test_unknown_name(draw):
    with pytest.raises(ValueError, match=r"must be one of .*, got 'plain'"):
        draw(np.random.default_rng(0))


# The three layouts


@pytest.mark.parametrize('split', scenes.SPLITS)
def test_layouts_agree(folder, split):
    coco_mask = pytest.importorskip('pycocotools.mask')
    content = instances(folder, split)
    assert [(c['id'], c['name']) for c in content['categories']] == list(enumerate(CLASSES, 1))
    ids = [a['id'] for a in content['annotations']]
    assert ids == list(range(1, len(ids) + 1))
    assert {image['file_name'] for image in content['images']} == {
        str(p.relative_to(folder / split)) for p in (folder / split).rglob('*.jpg')
    }
    for image in content['images']:
        name = Path(image['file_name'])
        labels = np.asarray(Image.open(folder / 'annotations' / split / name.with_suffix('.png')))
        assert labels.dtype == np.uint8 and labels.shape == (image['height'], image['width'])
        assert Image.open(folder / split / name).size == (image['width'], image['height'])
        expected = np.zeros_like(labels)
        ours = [a for a in content['annotations'] if a['image_id'] == image['id']]
        for a in ours:
            rle = coco_mask.frPyObjects(a['segmentation'], *labels.shape)
            mask = coco_mask.decode(rle).astype(bool)
            assert a['area'] == mask.sum() and a['iscrowd'] == 0
            assert a['bbox'] == coco_mask.toBbox(rle).tolist()
            assert not expected[mask].any(), 'instances overlap'
            expected[mask] = a['category_id']
        np.testing.assert_array_equal(np.where(labels <= len(CLASSES), labels, 0), expected)
        rest = np.setdiff1d(labels[expected == 0], 0)
        assert len(rest) == 1 and LABELS[rest[0] - 1] in MATERIALS
        largest = max(ours, key=lambda a: a['area'])
        assert CLASSES[largest['category_id'] - 1] == name.parent.name


def test_classes_are_balanced_and_described(folder):
    meta = json.loads((folder / 'classes.json').read_text())
    assert meta['counts'] == {'train': 45, 'val': 15}
    assert {name: meta[name] for name in ARGUMENTS} == ARGUMENTS
    assert tuple(meta['classification']) == tuple(meta['detection']) == CLASSES
    assert tuple(meta['segmentation']) == LABELS
    assert list(CLASSES) == sorted(CLASSES)
    for split, count in meta['counts'].items():
        assert meta['instances'][split] == len(instances(folder, split)['annotations'])
        sizes = {d.name: len(list(d.iterdir())) for d in (folder / split).iterdir()}
        assert tuple(sorted(sizes)) == CLASSES
        assert sum(sizes.values()) == count
        assert max(sizes.values()) - min(sizes.values()) <= 1


def test_mmpretrain_reads_it(folder):
    datasets = pytest.importorskip('mmpretrain.datasets')
    for split, count in (('train', 45), ('val', 15)):
        dataset = datasets.CustomDataset(data_root=str(folder), data_prefix=split)
        assert len(dataset) == count and tuple(dataset.CLASSES) == CLASSES
        for i in range(count):
            info = dataset.get_data_info(i)
            assert Path(info['img_path']).parent.name == CLASSES[info['gt_label']]


def test_mmdet_reads_it(folder):
    pytest.importorskip('mmdet')
    pytest.importorskip('wamim_mm.interop.mmcv_ext').install()
    from mmdet.datasets import CocoDataset
    from mmdet.datasets.transforms import LoadAnnotations
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    dataset = CocoDataset(
        data_root=str(folder),
        ann_file='annotations/instances_train.json',
        data_prefix={'img': 'train/'},
        metainfo={'classes': str(folder / 'classes.txt')},
        pipeline=[],
    )
    assert len(dataset) == 45 and tuple(dataset.metainfo['classes']) == CLASSES
    load = LoadAnnotations(with_bbox=True, with_mask=True)
    for i in range(45):
        info = load.transform({**dataset.get_data_info(i), 'ori_shape': (64, 64)})
        assert Path(info['img_path']).is_file()
        masks = info['gt_masks'].to_ndarray().astype(bool)
        path = Path(info['img_path']).relative_to(folder / 'train').with_suffix('.png')
        labels = np.asarray(Image.open(folder / 'annotations' / 'train' / path))
        for mask, label in zip(masks, info['gt_bboxes_labels'], strict=True):
            assert (labels[mask] == 1 + label).all()


def test_mmseg_reads_it(folder):
    datasets = pytest.importorskip('mmseg.datasets')
    dataset = datasets.BaseSegDataset(
        data_root=str(folder),
        data_prefix={'img_path': 'train', 'seg_map_path': 'annotations/train'},
        metainfo={'classes': str(folder / 'labels.txt')},
        reduce_zero_label=True,
    )
    assert len(dataset) == 45 and tuple(dataset.metainfo['classes']) == LABELS
    load = datasets.LoadAnnotations()
    seen = set()
    for i in range(45):
        info = load(dataset.get_data_info(i))
        assert Path(info['img_path']).is_file()
        seen |= set(np.unique(info['gt_seg_map']).tolist())
    assert seen <= {*range(len(LABELS)), 255} and set(range(len(CLASSES))) <= seen


# Running again, and refusals


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_an_interrupted_call_leaves_nothing_and_starts_again(folder, tmp_path, monkeypatch):
    """Neither beside the folder nor in it, whether it was there or not."""
    for out in (tmp_path / 'new', tmp_path / 'empty'):
        if out.name == 'empty':
            out.mkdir()
        before = sorted(tmp_path.rglob('*'))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(scenes, '_coco', interrupt)  # when all scenes are drawn
            make_scenes(out, **ARGUMENTS, workers=1)
        assert sorted(tmp_path.rglob('*')) == before
        assert make_scenes(out, **ARGUMENTS, workers=1)
        assert files(out) == files(folder)


def test_an_interrupted_command_stops_its_processes(tmp_path):
    """Within a moment, by a signal to the parent alone."""
    command = [sys.executable, '-m', 'wamim_mm.data.scenes', tmp_path / 'out', '--images', '9999']
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.time() + 60
    while not list(tmp_path.rglob('*.jpg')) and time.time() < deadline:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_complete_data_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(scenes, '_draw_all', None)
    assert make_scenes(folder, **ARGUMENTS) is False


@pytest.mark.parametrize('name, value', [('images', 61), ('size', 65), ('val_fraction', 0.3)])
def test_other_arguments_are_refused(folder, name, value):
    message = rf'made with {name} {ARGUMENTS[name]}, now asked for with {value}; name another'
    with pytest.raises(FileExistsError, match=message):
        make_scenes(folder, **{**ARGUMENTS, name: value})


@pytest.mark.parametrize('name, content', [('mine.txt', 'x'), ('classes.json', '{"a": 1}')])
def test_foreign_files_are_refused_and_kept(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(FileExistsError, match=rf'{name!r} and was not made by this command'):
        make_scenes(tmp_path, **ARGUMENTS)
    assert files(tmp_path) == {name: content.encode()}


def test_a_file_is_refused_and_an_empty_folder_is_not(tmp_path):
    (tmp_path / 'file').write_text('x')
    with pytest.raises(FileExistsError, match='is a file'):
        make_scenes(tmp_path / 'file', **ARGUMENTS)
    (tmp_path / 'empty').mkdir()
    assert make_scenes(tmp_path / 'empty', images=12, size=32, workers=1)


@pytest.mark.parametrize(
    'change, message',
    [
        ({'images': 11}, 'images must be at least 12, one a class; got 11'),
        ({'size': 16}, 'size must lie from 32 to 1024 pixels; got 16'),
        ({'size': 5000}, 'got 5000'),
        ({'seed': -1}, 'seed must not be negative; got -1'),
        ({'val_fraction': 0.0}, 'val_fraction must leave at least one .* got 0.0'),
        ({'val_fraction': 0.999}, 'got 0.999'),
        ({'val_fraction': float('nan')}, 'got nan'),
    ],
)
def test_arguments_out_of_range(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make_scenes(tmp_path / 'out', **{**ARGUMENTS, **change})
    assert not (tmp_path / 'out').exists()


def test_command(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    command = ['scenes', str(out), '--images', '12', '--size', '32', '--seed', '1']

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [*command, *arguments])
        scenes.main()

    run('--val-fraction', '0.5')
    captured = capsys.readouterr()
    assert captured.out == f'wrote 12 scenes of 32 x 32 in {out}\n' and '12/12' in captured.err
    run('--val-fraction', '0.5')
    assert capsys.readouterr().out.startswith('nothing to do, found 12 scenes')
    with pytest.raises(SystemExit, match=r'error: .* made with val_fraction 0.5'):
        run()
    shutil.rmtree(out)
    with pytest.raises(SystemExit, match='error: images must be at least'):
        run('--images', '3')
