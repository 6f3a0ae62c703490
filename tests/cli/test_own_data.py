"""--data: labelled folders of one's own, for every library."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS as DETECTION
from mmengine.config import Config
from mmpretrain.registry import DATASETS as CLASSIFICATION
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS as SEGMENTATION
from PIL import Image

from wamim_mm.cli import own_data, shards
from wamim_mm.cli.checks import read_config, use_shards
from wamim_mm.cli.folder import look
from wamim_mm.cli.launch import LOADERS
from wamim_mm.cli.own_data import use_own_data
from wamim_mm.demo.scenes import CLASSES, LABELS, make_scenes

from .test_own_classes import config

DET = 'wamim_mm::det/mask-rcnn_wamim-swin-b_fpn_1x_coco.py'
SEG = 'wamim_mm::seg/upernet_wamim-swin-b_160k_ade20k-512x512.py'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Class folders, COCO's JSON and label maps in one."""
    folder = tmp_path_factory.mktemp('scenes') / 'scenes'
    make_scenes(folder, 36, 32, val_fraction=1 / 3)
    return folder


def counts(cfg):
    return set(re.findall(r'num_classes=(\w+)', cfg.pretty_text))


def built(registry, cfg, loader):
    return registry.build(dict(cfg[loader].dataset, pipeline=[], _scope_=registry.scope))


@pytest.mark.parametrize('name', ['wamim_vit-s_finetune', 'mfm_r50_linear'])
def test_class_folders(name, scenes, capsys):
    cfg = config(f'wamim_mm::cls/{name}.py', '--data', scenes)
    assert f'12 classes of {scenes}: ' in capsys.readouterr().out
    assert counts(cfg) == {'12'}
    for loader in LOADERS:
        data = built(CLASSIFICATION, cfg, loader)
        assert sorted(data.CLASSES) == sorted(CLASSES)
        assert len(data) == (24 if loader == 'train_dataloader' else 12)


def test_a_class_folder_without_images(scenes, tmp_path):
    """It would be a class that nobody can learn."""
    shutil.copytree(scenes / 'train', tmp_path / 'train')
    shutil.copytree(scenes / 'val', tmp_path / 'val')
    (tmp_path / 'train/extra/deeper').mkdir(parents=True)
    (tmp_path / 'train/extra/notes.txt').touch()
    with pytest.raises(FileNotFoundError, match=r"train/extra' has no image, .* or remove it"):
        config('wamim_mm::cls/wamim_vit-s_finetune.py', '--data', tmp_path)
    shutil.copy(next((scenes / 'train').rglob('*.jpg')), tmp_path / 'train/extra/deeper/a.JPG')
    config('wamim_mm::cls/wamim_vit-s_finetune.py', '--data', tmp_path)


def write_shards(folder, out, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['wamim shards', str(folder), str(out)])
    shards.main()
    assert 'read back and compared' in capsys.readouterr().out


def test_shards(scenes, tmp_path, monkeypatch, capsys):
    """Written by the command; of class folders too, one of which validation may lack."""
    for split in ('train', 'val'):
        write_shards(scenes / split, tmp_path / split, monkeypatch, capsys)
    found = look(tmp_path / 'train')
    assert (found.images, found.short_side, found.unreadable) == (24, 32, [])
    pattern = str(tmp_path / 'train' / '{000000..000000}.tar')
    cfg = config('wamim_mm::pretrain/wamim_vit-s.py', '--data', pattern)
    use_shards(cfg.train_dataloader.dataset)
    assert len(built(CLASSIFICATION, cfg, 'train_dataloader')) == 24

    shutil.rmtree(tmp_path / 'val')
    some = tmp_path / 'some'
    shutil.copytree(scenes / 'val', some)
    first = sorted(path for path in some.iterdir() if path.is_dir())[0]
    shutil.rmtree(first)
    write_shards(some, tmp_path / 'val', monkeypatch, capsys)
    shutil.rmtree(some)
    cfg = config('wamim_mm::cls/wamim_vit-s_finetune.py', '--data', tmp_path)
    assert counts(cfg) == {'12'}
    for loader in LOADERS:
        use_shards(cfg[loader].dataset)
        data = built(CLASSIFICATION, cfg, loader)
        assert sorted(data.CLASSES) == sorted(CLASSES)
        training = loader == 'train_dataloader'
        assert set(data.get_gt_labels()) == set(range(0 if training else 1, 12))


def test_images_for_pretraining(scenes, tmp_path):
    cfg = config('wamim_mm::pretrain/wamim_vit-s.py', '--data', scenes)
    assert len(built(CLASSIFICATION, cfg, 'train_dataloader')) == 24
    flat = tmp_path / 'flat'
    flat.mkdir()
    for i, path in enumerate(sorted(scenes.glob('val/*/*.jpg'))):
        shutil.copy(path, flat / f'{i}.jpg')
    cfg = config('wamim_mm::pretrain/wamim_vit-s.py', '--data', flat)
    assert len(built(CLASSIFICATION, cfg, 'train_dataloader')) == 12


def roboflow(scenes, folder):
    """As Roboflow exports it: images beside their JSON, and a test set of its own."""
    for split, name in (('train', 'train'), ('val', 'valid'), ('val', 'test')):
        content = json.loads((scenes / f'annotations/instances_{split}.json').read_text())
        (folder / name).mkdir(parents=True)
        for image in content['images']:
            path = scenes / split / image['file_name']
            shutil.copy(path, folder / name / path.name)
            image['file_name'] = path.name
        (folder / name / '_annotations.coco.json').write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize('layout', ['coco', 'roboflow'])
def test_coco_files(layout, scenes, tmp_path, capsys):
    folder = scenes if layout == 'coco' else roboflow(scenes, tmp_path / 'a')
    cfg = config(DET, '--data', folder)
    assert '12 classes of ' in capsys.readouterr().out
    assert counts(cfg) == {'12'}
    for loader in LOADERS:
        data = built(DETECTION, cfg, loader)
        assert list(data.metainfo['classes']) == list(CLASSES)
        assert len(data) == (24 if loader == 'train_dataloader' else 12)
        info = data.get_data_info(0)
        assert Image.open(info['img_path']).size == (32, 32) and info['instances']
        name = 'valid' if layout == 'roboflow' else 'val'
        assert loader == 'train_dataloader' or f'/{name}/' in info['img_path']
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
    assert cfg.test_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file


@pytest.mark.parametrize(
    ('files', 'folders'),
    [
        ('train_coco val_coco', 'train val'),
        ('instances_train instances_validation', 'train val'),
        ('train valid', 'images/train images/val'),
        ('a_train a_test', 'train/images test/images'),
    ],
)
def test_both_splits_have_images_of_the_same_names(files, folders, tmp_path, capsys):
    (tmp_path / 'annotations').mkdir()
    for file, place in zip(files.split(), folders.split(), strict=True):
        (tmp_path / place).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(tmp_path / place / '0.png')
        content = dict(
            images=[dict(id=1, file_name='0.png', width=8, height=8)],
            annotations=[],
            categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        )
        (tmp_path / 'annotations' / f'{file}.json').write_text(json.dumps(content))
    cfg = config(DET, '--data', tmp_path)
    train, val = folders.split()
    assert f'images in {tmp_path / train} and {tmp_path / val}: cat, dog' in capsys.readouterr().out
    for loader, place in zip(LOADERS, (train, val, val), strict=True):
        (dataset,) = (part for _, part in own_data.inner_datasets(cfg, [loader]))
        assert dataset.data_prefix == dict(img=f'{tmp_path / place}/')
    (tmp_path / val / '0.png').unlink()
    with pytest.raises(FileNotFoundError, match=r"'0.png', the first image of .*, is in none of"):
        config(DET, '--data', tmp_path)


@pytest.mark.parametrize('name', ['mask-rcnn_swin', 'upernet_swin'])
def test_all_samples_are_taken(name, scenes):
    """Whatever the config takes of the data that it was written for."""
    cfg = config(f'wamim_mm::demo/{name}.py', '--data', scenes)
    assert not any('indices' in part for _, part in own_data.inner_datasets(cfg, LOADERS))


def test_class_names_from_windows(scenes, tmp_path):
    folder = plain_maps(scenes, tmp_path / 'a', 0)
    names = folder / 'classes.txt'
    names.write_bytes(b'\xef\xbb\xbf' + names.read_bytes().replace(b'\n', b'\r\n'))
    cfg = config(SEG, '--data', folder)
    data = built(SEGMENTATION, cfg, 'train_dataloader')
    assert list(data.metainfo['classes']) == list(LABELS)


def test_evaluators_in_a_list(scenes):
    """Those of another data set are left out; without one for COCO files, nothing is scored."""
    coco, other = dict(type='CocoMetric', ann_file='x'), dict(type='CityScapesMetric')
    cfg = read_config(DET)
    cfg.val_evaluator = cfg.test_evaluator = [other, coco]
    use_own_data(cfg, str(scenes))
    assert [metric.type for metric in cfg.val_evaluator] == ['CocoMetric']
    assert cfg.val_evaluator[0].ann_file == cfg.val_dataloader.dataset.ann_file
    cfg.val_evaluator = [other]
    with pytest.raises(ValueError, match='val_evaluator has no CocoMetric'):
        use_own_data(cfg, str(scenes))


def plain_maps(scenes, folder, shift):
    """Images and label maps in folders of their own, with labels from 0 or 1 on."""
    for split, name in (('train', 'training'), ('val', 'validation')):
        for place in ('images', 'masks'):
            (folder / place / name).mkdir(parents=True)
        for path in sorted((scenes / 'annotations' / split).glob('*/*.png')):
            labels = np.asarray(Image.open(path)).astype(np.int64)
            labels = np.where(labels == 0, 255, labels - 1) if shift else labels
            Image.fromarray(labels.astype(np.uint8)).save(folder / 'masks' / name / path.name)
            image = scenes / split / path.parent.name / f'{path.stem}.jpg'
            shutil.copy(image, folder / 'images' / name / image.name)
    shutil.copy(scenes / 'labels.txt', folder / 'classes.txt')
    return folder


@pytest.mark.parametrize('place', [0, 77, 199, None])
def test_the_last_class_may_be_rare(place, tmp_path):
    """In one of many maps; or in none, and all were read."""
    maps = [tmp_path / f'{i:03}.png' for i in range(200)]
    for i, path in enumerate(maps):
        labels = np.array([[0, 1, 255, 5 if i == place else 4]], np.uint8)
        Image.fromarray(labels).save(path)
    largest, read = own_data._largest(maps, 5)
    assert (largest, read) == (4, 200) if place is None else (largest == 5 and read <= 200)


def test_maps_are_read_for_a_minute_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(own_data, 'LOOK_SECONDS', 0)
    Image.new('L', (2, 2), 1).save(tmp_path / 'map.png')
    assert own_data._largest([tmp_path / 'map.png'] * 100, 5) == (1, 34)


@pytest.mark.parametrize('layout', ['scenes', 'from 1', 'from 0'])
def test_label_maps(layout, scenes, tmp_path, capsys):
    folder = scenes
    if layout != 'scenes':
        folder = plain_maps(scenes, tmp_path / 'a', shift=layout == 'from 0')
    cfg = config(SEG, '--data', folder)
    said = capsys.readouterr().out
    assert f'{len(LABELS)} classes of {folder}' in said and ('0 is the first' in said) == (
        layout == 'from 0'
    )
    assert counts(cfg) == {str(len(LABELS))}
    for loader in LOADERS:
        dataset = cfg[loader].dataset
        data = built(SEGMENTATION, cfg, loader)
        assert list(data.metainfo['classes']) == list(LABELS)
        assert len(data) == (24 if loader == 'train_dataloader' else 12)
        assert dataset.reduce_zero_label == (layout != 'from 0')
        steps = [step for step in dataset.pipeline if step.type == 'LoadAnnotations']
        assert [step.reduce_zero_label for step in steps] == [layout != 'from 0']
        info = data.get_data_info(0)
        assert Image.open(info['img_path']).size == Image.open(info['seg_map_path']).size


def test_options_come_after_it(scenes):
    options = ('--cfg-options', 'train_dataloader.dataset.img_suffix=.png')
    assert config(SEG, '--data', scenes, *options).train_dataloader.dataset.img_suffix == '.png'


def test_what_is_missing_is_named(scenes, tmp_path):
    for name in ('train', 'val'):
        (tmp_path / 'one' / name / 'cat').mkdir(parents=True)
    Image.new('L', (4, 4)).save(tmp_path / 'one/train/cat/a.png')
    (tmp_path / 'one/classes.txt').write_text('a\nb\n')
    (tmp_path / 'two').mkdir()
    for stem in ('instances_train', 'instances_train2'):
        (tmp_path / f'two/{stem}.json').write_text('{}')
    (tmp_path / 'three').mkdir()
    content = dict(images=[dict(file_name='a.jpg')], categories=[dict(id=1, name='a')])
    for split in ('train', 'val'):
        (tmp_path / f'three/{split}.json').write_text(json.dumps(content))
    (tmp_path / 'four').mkdir()
    (tmp_path / 'four/train.json').write_text('{}')
    (tmp_path / 'four/val.json').write_text('{}')
    cls = 'wamim_mm::cls/wamim_vit-s_finetune.py'
    for name, folder, message in (
        (cls, 'nowhere', 'is no folder'),
        (cls, 'two', 'there is no folder train/ in'),
        (cls, 'one', 'has 1 sub-folders; a classifier needs two'),
        (DET, 'one', "must have 'train' in its name, found none"),
        (DET, 'two', 'found instances_train.json, instances_train2.json'),
        (DET, 'three', "'a.jpg', the first image of .* is in none of"),
        (DET, 'four', 'has no images or no categories'),
        (SEG, 'two', 'there is no labels.txt or classes.txt'),
        (SEG, 'one', 'no images with label maps for train'),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            config(name, '--data', tmp_path / folder)
    with pytest.raises(ValueError, match='for configs of mmpretrain, mmdet and mmseg'):
        use_own_data(Config(dict(default_scope='mmengine')), str(tmp_path))


def test_images_of_several_suffixes(scenes, tmp_path):
    folder = plain_maps(scenes, tmp_path / 'a', shift=True)
    path = next((folder / 'images/training').glob('*.jpg'))
    Image.open(path).save(path.with_name('other.png'))
    with pytest.raises(ValueError, match=r'end in \.jpg and \.png'):
        config(SEG, '--data', folder)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('categories', ['cat'], "categories are no objects \\('cat'\\)"),
        ('categories', {'1': 'cat'}, "'categories' is to be a list, found a dict"),
        ('categories', [dict(id=1)], "have no 'name'"),
        ('categories', [dict(id=1, name=1)], "have a 'name' that is no word"),
        ('categories', [dict(id=1, name=None)], "have a 'name' that is no word"),
        ('images', {'1': 'a.jpg'}, "'images' is to be a list, found a dict"),
        ('images', [dict(id=1)], "have no 'file_name'"),
        ('images', [dict(id=1, file_name=7)], "have a 'file_name' that is no word"),
    ],
)
def test_json_that_is_not_of_coco(key, value, message, tmp_path):
    content = dict(images=[dict(file_name='a.jpg')], categories=[dict(id=1, name='a')])
    for split in ('train', 'val'):
        (tmp_path / f'{split}.json').write_text(json.dumps({**content, key: value}))
    with pytest.raises(ValueError, match=f"train.json'.*{message}"):
        config(DET, '--data', tmp_path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('\n \n', 'names no class'),
        ('cat\ndog\ncat\n', 'names cat twice'),
        ('crack\n', "names one class, 'crack', .* background on the first line"),
        ('fuß\nhand\n', 'is not in UTF-8'),
    ],
)
def test_names_of_classes_that_cannot_be(text, message, tmp_path):
    (tmp_path / 'classes.txt').write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError, match=rf"classes\.txt' {message}"):
        config(SEG, '--data', tmp_path)


def test_one_class_of_a_binary_head(scenes, tmp_path):
    """0 is what is around it, and no label to ignore."""
    folder = plain_maps(scenes, tmp_path / 'a', 0)
    (folder / 'classes.txt').write_text('crack\n')
    for path in folder.glob('masks/*/*.png'):
        Image.fromarray((np.asarray(Image.open(path)) > 1).astype(np.uint8)).save(path)
    binary = dict(out_channels=1, num_classes=2)
    cfg = read_config(SEG)
    cfg.model.decode_head.update(binary)
    use_own_data(cfg, str(folder))
    assert not cfg.train_dataloader.dataset.reduce_zero_label
    # mmseg's metric has a bin for each name: with one, every pixel would be in it.
    assert tuple(cfg.val_dataloader.dataset.metainfo.classes) == ('background', 'crack')
    assert cfg.model.decode_head.num_classes == 2 and cfg.model.decode_head.out_channels == 1
    areas = IoUMetric.intersect_and_union(torch.zeros(9), (torch.arange(9) == 0).long(), 2, 255)
    assert (areas[0] / areas[1]).tolist() == pytest.approx([8 / 9, 0])


def test_damaged_and_hidden_label_maps(scenes, tmp_path):
    """Training skips and lists the former, and there are none of the latter."""
    folder = plain_maps(scenes, tmp_path / 'a', 1)
    for path in (folder / 'masks').glob('*/*.png'):
        (path.parent / f'._{path.name}').write_bytes(b'of macOS')
    torn = next((folder / 'masks').glob('*/[!.]*.png'))
    torn.write_bytes(torn.read_bytes()[:60])
    config(SEG, '--data', folder)
    inside = tmp_path / 'inside'
    shutil.move(folder / 'images/training', inside)
    (folder / 'images/training').mkdir()
    (folder / 'images/training/linked').symlink_to(inside)
    config(SEG, '--data', folder)


@pytest.mark.parametrize('before', [True, False])
def test_label_maps_are_read_as_in_the_training(scenes, tmp_path, before, capsys):
    """Without the last class there is nothing to tell whether 0 is one."""
    folder = plain_maps(scenes, tmp_path / 'a', 0)
    for path in folder.glob('masks/*/*.png'):
        labels = np.asarray(Image.open(path))
        Image.fromarray(np.where(labels == len(LABELS), 0, labels)).save(path)
    checkpoint = tmp_path / 'iter_1.pth'
    trained = dict(classes=tuple(LABELS), reduce_zero_label=before)
    torch.save(dict(meta=dict(iter=1, dataset_meta=trained)), checkpoint)

    assert not config(SEG, '--data', folder).train_dataloader.dataset.reduce_zero_label
    for run, trains in ((checkpoint, True), (checkpoint, False), (tmp_path, True)):
        cfg = read_config(SEG)
        said = use_own_data(cfg, str(folder), str(run), trains)
        assert cfg.test_dataloader.dataset.reduce_zero_label == before
        assert f'{int(before)} is the first in label maps, as in the training' in said


@pytest.mark.parametrize('task', ['cls', 'seg'])
def test_a_test_needs_no_training_data(task, scenes, tmp_path):
    checkpoint, names = tmp_path / 'epoch_1.pth', tuple(sorted(CLASSES))
    torch.save(dict(meta=dict(dataset_meta=dict(classes=names))), checkpoint)
    if task == 'cls':
        name, folder = 'wamim_mm::cls/wamim_vit-s_finetune.py', tmp_path / 'a'
        shutil.copytree(scenes / 'val', folder / 'val')
    else:
        name, folder = SEG, plain_maps(scenes, tmp_path / 'a', 0)
        for place in ('images', 'masks'):
            shutil.rmtree(folder / place / 'training')
    with pytest.raises(FileNotFoundError, match=r'for train in|no folder train/'):
        use_own_data(read_config(name), str(folder), str(checkpoint))
    cfg = read_config(name)
    use_own_data(cfg, str(folder), str(checkpoint), trains=False)
    library = CLASSIFICATION if task == 'cls' else SEGMENTATION
    assert len(built(library, cfg, 'test_dataloader')) == 12
    assert counts(cfg) == {str(len(names if task == 'cls' else LABELS))}


@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
def test_heads_that_name_things_and_weights(library, scenes):
    name, count = {
        'mmdet': ('mask2former_r50_8xb2-lsj-50e_coco.py', len(CLASSES)),
        'mmseg': ('mask2former_r50_8xb2-160k_ade20k-512x512.py', len(LABELS)),
    }[library]
    cfg = read_config(f'{library}::mask2former/{name}')
    use_own_data(cfg, str(scenes))
    head = cfg.model.panoptic_head if library == 'mmdet' else cfg.model.decode_head
    assert head.loss_cls.class_weight == [*[head.loss_cls.class_weight[0]] * count, 0.1]
    assert {head.get('num_things_classes', count), head.get('num_classes', count)} == {count}


def test_heads_of_no_number_and_of_their_own_classes(scenes):
    cfg = read_config(SEG)
    weights = [1.0] * 149 + [0.5]
    cfg.model.decode_head.loss_decode.class_weight = weights
    with pytest.raises(ValueError, match='CrossEntropyLoss has a weight for each of 150 classes'):
        use_own_data(cfg, str(scenes))
    cfg = read_config('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py')
    with pytest.raises(ValueError, match='tells things from stuff'):
        use_own_data(cfg, str(scenes))
    cfg = read_config(SEG)
    cfg.model = dict(type='EncoderDecoder', decode_head=dict(type='X'))
    with pytest.raises(ValueError, match='no head of this model has a number of classes'):
        use_own_data(cfg, str(scenes))


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('mmpretrain::resnet/resnet18_8xb16_cifar10.py', 'reads the files of CIFAR10; choose'),
        ('mmpretrain::resnet/resnet50_8xb8_cub.py', 'reads the files of CUB; choose'),
        ('mmpretrain::vgg/vgg11_8xb32_in1k.py', 'its head has no number of classes; choose'),
        ('mmpretrain::lenet/lenet5_mnist.py', 'its head has no number of classes; choose'),
        (
            'mmseg::pspnet/pspnet_r50-d8_4xb4-20k_voc12aug-512x512.py',
            'train_dataloader of this config joins several',
        ),
    ],
)
def test_configs_of_other_files(name, message, scenes):
    with pytest.raises(ValueError, match=message):
        use_own_data(read_config(name), str(scenes))


@pytest.mark.parametrize(
    ('name', 'kept'),
    [
        ('ocrnet/ocrnet_hr18_4xb4-80k_ade20k-512x512', []),
        ('stdc/stdc1_4xb12-80k_cityscapes-512x1024', [2]),
        ('fcn/fcn_r50-d8_4xb4-40k_pascal-context-480x480', []),
    ],
)
def test_other_models_for_label_maps(name, kept, scenes):
    """Several decoders; a head that predicts edges; a list of files, which own data have not."""
    cfg = read_config(f'mmseg::{name}.py')
    use_own_data(cfg, str(scenes))
    text = [line for line in cfg.pretty_text.splitlines() if 'num_classes' in line]
    counts = [int(re.search(r'num_classes=(\d+)', line)[1]) for line in text]
    assert sorted(counts) == sorted([*kept, *[len(LABELS)] * (len(counts) - len(kept))])
    for loader in LOADERS:
        part = dict(cfg[loader].dataset, pipeline=[], _scope_='mmseg')
        assert not part.get('ann_file') and len(SEGMENTATION.build(part)) > 0
