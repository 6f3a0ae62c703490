"""tools/robustness.py on small copies of the benchmarks' folders, and its errors."""

import gc
import itertools
import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from PIL import Image

from wamim_mm.imagenet_c import ALEXNET_ERRORS, CORRUPTIONS

timm_data = pytest.importorskip('timm.data', reason='needs timm, of the test extra')

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['wamim_mm'])
data_root = '{data_root}'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes={classes}, in_channels=64),
)
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset',
        data_root=data_root,
        data_prefix='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=64, edge='short'),
            dict(type='CenterCrop', crop_size=64),
            dict(type='PackInputs'),
        ],
    ),
)
test_evaluator = dict(type='Accuracy', topk=(1, 5))
test_cfg = dict()
"""
NO_PACKAGE = 'needs the package imagecorruptions-imaug, of the test extra'
WNIDS = timm_data.ImageNetInfo('imagenet-1k').label_names()


@pytest.fixture
def robustness(root, scenes, tmp_path, monkeypatch):
    """Run the command with a classifier that favours one class, then another, whatever it sees."""
    # MMEngine collects garbage for every data set: spare it the thousands of objects of a test run.
    gc.freeze()
    main = runpy.run_path(str(root / 'tools' / 'robustness.py'))['main']

    def run(*arguments, classes=1000, favourites=(1, 0), names=None):
        # MMEngine names a logger after the config and the second, and tests are faster than that.
        config, checkpoint = tmp_path / f'{tmp_path.name}.py', tmp_path / 'model.pth'
        config.write_text(CONFIG.format(data_root=scenes, classes=classes))
        model = MODELS.build(Config.fromfile(config).model)
        torch.nn.init.zeros_(model.head.fc.weight)
        model.head.fc.bias.data = torch.zeros(classes)
        for lead, index in enumerate(reversed(favourites), 1):
            model.head.fc.bias.data[index] = lead
        meta = {'dataset_meta': {'classes': names}} if names else {}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, checkpoint)
        out = tmp_path / 'out' / 'result.json'
        places = ['--out', out, '--work-dir', tmp_path / 'run']
        command = ['robustness.py', config, checkpoint, *places, *arguments]
        monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
        main()
        return json.loads(out.read_text())

    yield run
    gc.unfreeze()


def class_folders(folder: Path, wnids, images: dict[str, int], scenes: Path) -> Path:
    """A folder for each class, in some of them images."""
    for wnid in wnids:
        (folder / wnid).mkdir(parents=True)
    picture = next(scenes.glob('val/*/*.jpg'))
    for wnid, count in images.items():
        for i in range(count):
            (folder / wnid / f'{i}.jpg').symlink_to(picture)
    return folder


def test_class_subset(robustness, scenes, tmp_path, capsys):
    # Class 701, which the classifier likes best, is not among the 200; class 4 is.
    folder = class_folders(tmp_path / 'a', WNIDS[:400:2], {WNIDS[4]: 3, WNIDS[8]: 1}, scenes)
    result = robustness('--on', 'imagenet-a', '--data-root', folder, favourites=(701, 4))
    assert result == {'on': 'imagenet-a', 'top1': 75.0}
    assert 'imagenet-a: top-1 75.00 %' in capsys.readouterr().out


@pytest.mark.slow
def test_mean_corruption_error(robustness, scenes, tmp_path, capsys):
    right = class_folders(tmp_path / 'right', WNIDS, {WNIDS[700]: 1}, scenes)
    wrong = class_folders(tmp_path / 'wrong', WNIDS, {WNIDS[701]: 1}, scenes)
    for corruption in CORRUPTIONS:
        (tmp_path / 'c' / corruption).mkdir(parents=True)
        for severity in range(1, 6):
            hard = corruption == 'fog' or (corruption == 'snow' and severity > 3)
            (tmp_path / 'c' / corruption / str(severity)).symlink_to(wrong if hard else right)
    arguments = ['--on', 'imagenet-c', '--data-root', tmp_path / 'c']
    result = robustness(*arguments, favourites=(700, 701))
    errors = dict.fromkeys(CORRUPTIONS, 0.0) | {'fog': 100.0, 'snow': 40.0}
    expected = 100 * sum(errors[name] / ALEXNET_ERRORS[name] for name in CORRUPTIONS) / 15
    assert result['mce'] == pytest.approx(expected)
    assert result['mean_error'] == pytest.approx(140 / 15)
    assert result['clean'] is None
    assert result['corruptions']['snow'] == {'1': 100, '2': 100, '3': 100, '4': 0, '5': 0}
    assert f'mCE {expected:.2f} %' in capsys.readouterr().out
    (log,) = tmp_path.glob('run/*/*.log')
    assert log.read_text().count('Load checkpoint from') == 1

    (tmp_path / 'c' / 'snow' / '2').unlink()
    with pytest.raises(SystemExit):
        robustness(*arguments)
    assert "snow/2' does not exist" in capsys.readouterr().err
    result = robustness(*arguments, '--severities', 4, favourites=(700, 701))
    assert result['mce'] is None and result['corruptions']['snow'] == {'4': 0}
    assert 'mCE needs all five severities' in capsys.readouterr().out


def test_on_the_fly(robustness, capsys, monkeypatch):
    pytest.importorskip('imagecorruptions', reason=NO_PACKAGE)
    seen, predict = [], ImageClassifier.predict

    def watched(self, inputs, *rest):
        seen.append(inputs)
        return predict(self, inputs, *rest)

    monkeypatch.setattr(ImageClassifier, 'predict', watched)
    result = robustness('--on', 'corruptions', '--severities', 1, 5, classes=12)
    assert result['clean'] == {'top1': pytest.approx(100 / 12)}
    assert list(result['corruptions']) == list(CORRUPTIONS) and result['mce'] is None
    assert all(list(top1) == ['1', '5'] for top1 in result['corruptions'].values())
    assert result['mean_error'] == pytest.approx(1100 / 12)
    assert "AlexNet's numbers are for ImageNet-C" in capsys.readouterr().out

    # One batch a data set. What contrast and brightness do is easily told.
    names = ['clean', *itertools.product(CORRUPTIONS, (1, 5))]
    batches = dict(zip(names, seen, strict=True))
    spread = {name: batch.std((2, 3)).mean() for name, batch in batches.items()}
    assert spread['contrast', 5] < 0.1 * spread['clean']
    assert spread['clean'] > spread['contrast', 1] > spread['contrast', 5]
    assert batches['brightness', 5].mean() > batches['brightness', 1].mean() > seen[0].mean()
    assert len({batch.numpy().tobytes() for batch in seen}) == len(seen)


def test_on_the_fly_all_images_are_the_same(robustness, scenes, tmp_path, monkeypatch):
    """Of every kind that is read; mmpretrain lists few of them by itself."""
    pytest.importorskip('imagecorruptions', reason=NO_PACKAGE)
    root = tmp_path / 'scenes'
    shutil.copytree(scenes / 'val', root / 'val')
    for place, file in enumerate(sorted((root / 'val').rglob('*.jpg'))):
        if place % 2:
            Image.open(file).save(file.with_suffix('.webp'), lossless=True)
            file.unlink()
    counts = []
    predict = ImageClassifier.predict

    def watched(self, inputs, *rest):
        counts.append(len(inputs))
        return predict(self, inputs, *rest)

    monkeypatch.setattr(ImageClassifier, 'predict', watched)
    options = ('--cfg-options', f'test_dataloader.dataset.data_root={root}')
    robustness('--on', 'corruptions', '--severities', 1, *options, classes=12)
    assert len(counts) == 1 + len(CORRUPTIONS) and len(set(counts)) == 1


def test_labels_are_those_of_the_checkpoint(robustness, scenes, tmp_path):
    """Also where the folder of a class is missing: three images of b and one of c."""
    pytest.importorskip('imagecorruptions', reason=NO_PACKAGE)
    class_folders(tmp_path / 'val', 'bc', {'b': 3, 'c': 1}, scenes)
    arguments = ['--on', 'corruptions', '--severities', 1, '--cfg-options', f'data_root={tmp_path}']
    result = robustness(*arguments, classes=3, favourites=(1, 0), names=['a', 'b', 'c'])
    assert result['clean']['top1'] == result['corruptions']['fog']['1'] == 75


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--on', 'imagenet-r', '--data-root', '/no/such'], "'/no/such' does not exist"),
        (
            ['--on', 'imagenet-r', '--data-root', '{scenes}/val'],
            'has 12 class folders, and the benchmark 200 classes',
        ),
        (
            ['--on', 'imagenet-a', '--data-root', '{folder}'],
            'model.head.num_classes is 12, and the data has 1000 classes',
        ),
        (['--on', 'corruptions', '--cfg-options', 'default_scope=mmdet'], 'not a config of mmpre'),
        (
            ['--on', 'corruptions', '--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=24']
            + ['test_dataloader.dataset.pipeline.2.crop_size=24'],
            'sides must be at least 32 pixels, got 24 x 24',
        ),
    ],
)
def test_bad_input(robustness, scenes, tmp_path, capsys, arguments, message):
    if 'corruptions' in arguments:
        pytest.importorskip('imagecorruptions', reason=NO_PACKAGE)
    folder = class_folders(tmp_path / 'a', WNIDS[:200], {WNIDS[0]: 1}, scenes)
    arguments = [part.format(scenes=scenes, folder=folder) for part in arguments]
    with pytest.raises(SystemExit):
        robustness(*arguments, classes=12)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--on', 'imagenet-r'], '--on imagenet-r needs --data-root DIR'),
        (['--on', 'corruptions', '--data-root', 'x'], 'takes the images of the config'),
        (['--on', 'corruptions', '--severities', 0], 'invalid choice: 0'),
        (['--on', 'corruptions', '--out', 'x.txt'], "'x.txt' must end in .json, .yaml"),
    ],
)
def test_bad_arguments(robustness, capsys, arguments, message):
    with pytest.raises(SystemExit):
        robustness(*arguments)
    assert message in capsys.readouterr().err
