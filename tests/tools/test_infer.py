"""Pictures of every task from a checkpoint, with the libraries' own visualizers."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from wamim_mm.cli import infer
from wamim_mm.cli.checks import read_config
from wamim_mm.evaluation import predictions

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS = {
    'mmdet': ROOT / 'configs' / 'demo' / 'mask-rcnn_swin.py',
    'mmseg': ROOT / 'configs' / 'demo' / 'upernet_swin.py',
    'wamim': ROOT / 'configs' / 'demo' / 'wamim_vit.py',
    'mfm': ROOT / 'configs' / 'demo' / 'mfm_r18.py',
}
CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=18, in_channels=64),
    data_preprocessor=dict(num_classes=18),
)
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=64, edge='short'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]))
visualizer = dict(type='UniversalVisualizer')
"""


@pytest.fixture(params=[*CONFIGS, 'mmpretrain'])
def trained(request, tmp_path):
    """A config and a checkpoint as a training run writes it, the weights drawn at random."""
    path = CONFIGS.get(request.param, tmp_path / 'classifier.py')
    if request.param == 'mmpretrain':
        path.write_text(CLASSIFIER)
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    meta = dict(
        classes=[f'class_{i}' for i in range(18)], palette=[(i, 2 * i, 3 * i) for i in range(18)]
    )
    model = MODELS.build(cfg.model)
    checkpoint = tmp_path / 'model.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), checkpoint)
    return path, checkpoint


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['infer.py', *map(str, arguments)])
    infer.main()


def test_pictures(trained, scenes, tmp_path, monkeypatch):
    config, checkpoint = trained
    out = tmp_path / 'out'
    run(monkeypatch, config, checkpoint, scenes / 'val', '--out', out, '--count', 2)
    drawn = sorted(out.rglob('*.png'))
    if config.name in ('wamim_vit.py', 'mfm_r18.py'):
        assert [path.name for path in drawn] == ['reconstruction.png']
        return
    assert len(drawn) == 2
    for picture in drawn:
        original = (scenes / 'val' / picture.relative_to(out)).with_suffix('.jpg')
        assert Image.open(picture).size == Image.open(original).size


def test_nothing_is_written_over_or_among_the_images(trained, tmp_path, monkeypatch, capsys):
    """Label maps have the names that the pictures get."""
    config, checkpoint = trained
    images, out = tmp_path / 'images', tmp_path / 'masks'
    images.mkdir(), out.mkdir()
    Image.new('RGB', (128, 128)).save(images / 'a.jpg')
    for name in ('a.png', 'reconstruction.png'):
        (out / name).write_bytes(b'precious')
    for folder, message in (
        (out, 'png exists; remove it'),
        (images / 'pictures', 'the folder of the images'),
        (images, 'the folder of the images'),
    ):
        with pytest.raises(SystemExit):
            run(monkeypatch, config, checkpoint, images, '--out', folder)
        assert message in capsys.readouterr().err
    assert {path.read_bytes() for path in out.iterdir()} == {b'precious'}
    assert [path.name for path in images.iterdir()] == ['a.jpg']
    run(monkeypatch, config, checkpoint, images / 'a.jpg', '--out', images / 'pictures')
    assert len(list((images / 'pictures').iterdir())) == 1


def test_an_image_that_mmcv_leaves_lying(trained, tmp_path, monkeypatch):
    """The picture is of what the model has seen."""
    config, checkpoint = trained
    path = tmp_path / 'images' / 'turned.webp'
    path.parent.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (128, 80)).save(path, exif=exif)
    out = tmp_path / 'out'
    run(monkeypatch, config, checkpoint, path, '--out', out)
    if config.name not in ('wamim_vit.py', 'mfm_r18.py'):
        assert Image.open(out / 'turned.png').size == (128, 80)


def test_the_advice_for_16_bits_holds(trained, tmp_path, monkeypatch, capsys):
    """It names the loader that reads the pictures, and not that of the training."""
    config, checkpoint = trained
    if config.name in ('wamim_vit.py', 'mfm_r18.py'):
        return
    path, out = tmp_path / 'deep.png', tmp_path / 'out'
    Image.fromarray(np.full((128, 128), 3000, np.uint16)).save(path)
    with pytest.raises(SystemExit):
        run(monkeypatch, config, checkpoint, path, '--out', out)
    options = capsys.readouterr().err.split('--cfg-options ')[1].split()
    assert [option.split('.')[0] for option in options] == ['test_dataloader'] * 2
    options = [option.replace('"', '') for option in options]
    run(monkeypatch, config, checkpoint, path, '--out', out, '--cfg-options', *options)
    assert (out / 'deep.png').exists()


#: Other ways to write the first models of CONFIGS and CLASSIFIER, none with a default_scope.
OTHERS = {
    'mmdet': "model = dict(type='mmdet.MaskRCNN')",
    'mmseg': "model = dict(type='mmseg.models.EncoderDecoder')",
}


@pytest.mark.parametrize('library', OTHERS)
def test_scoped_names_without_default_scope(library, scenes, tmp_path, monkeypatch):
    cfg = Config.fromfile(CONFIGS[library])
    init_default_scope(library)
    classes = [f'class_{i}' for i in range(18)]
    meta = dict(classes=classes, palette=[(i, 2 * i, 3 * i) for i in range(18)])
    checkpoint, other = tmp_path / 'model.pth', tmp_path / 'other.py'
    torch.save(
        dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=dict(dataset_meta=meta)),
        checkpoint,
    )
    other.write_text(f"_base_ = '{CONFIGS[library]}'\ndefault_scope = None\n{OTHERS[library]}\n")
    drawn = {}
    for config in (CONFIGS[library], other):
        out = tmp_path / config.stem
        run(monkeypatch, config, checkpoint, scenes / 'val', '--out', out, '--count', 1)
        (picture,) = out.rglob('*.png')
        drawn[config] = picture.read_bytes()
    assert len(set(drawn.values())) == 1


def test_a_config_of_an_installed_library(scenes, tmp_path, monkeypatch):
    """With mmpretrain's normalization, which its configs keep beside the model."""
    name, checkpoint = 'mmpretrain::resnet/resnet18_8xb32_in1k.py', tmp_path / 'model.pth'
    cfg = read_config(name)
    model = MODELS.build(dict(cfg.model, data_preprocessor=dict(num_classes=1000)))
    meta = dict(dataset_meta=dict(classes=[f'class_{i}' for i in range(1000)]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), checkpoint)
    seen = []
    monkeypatch.setattr(predictions, 'draw', lambda *arguments: seen.append(arguments[2]))
    run(monkeypatch, name, checkpoint, scenes / 'val', '--out', tmp_path / 'out', '--count', 1)
    assert len(seen) == 1
    built = predictions.build(cfg, str(checkpoint))[0].data_preprocessor
    assert built.mean.flatten().tolist() == pytest.approx(cfg.data_preprocessor.mean, abs=1e-4)


def test_annotations_are_left_out():
    """Whatever loads them; what is named like them and is not stays."""

    class Own(LoadAnnotations):
        pass

    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_mask=True),
        dict(type='mmdet.LoadPanopticAnnotations'),
        dict(type=Own),
        dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1)),
    ]
    assert predictions.without_annotations(steps, 'mmdet') == [steps[0], steps[4]]


def test_bad_input(scenes, tmp_path, monkeypatch, capsys):
    config = CONFIGS['mmseg']
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={'head.weight': torch.zeros(2)}), weights)
    cases = {
        'no image at': (config, weights, tmp_path / 'nothing'),
        "no.pth' does not exist": (config, tmp_path / 'no.pth', scenes),
        'does not fit the model': (config, weights, scenes),
    }
    for message, arguments in cases.items():
        with pytest.raises(SystemExit):
            run(monkeypatch, *arguments, '--out', tmp_path / 'out')
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
