"""Every command does the same, however a config writes its classes."""

import gc
import json
import re
import sys

import pytest
import torch
from mmengine.config import Config

import wamim_mm
from wamim_mm.cli import export_backbone, infer, linear_probe, reconstruct, robustness, test, train
from wamim_mm.evaluation.models import build_model

PRETRAIN = """
model = dict(
    type=<WaMIM>,
    data_preprocessor=dict(type=<PretrainDataPreprocessor>, mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        type=<WaMIMViT>,
        arch=dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96),
        img_size=64,
        out_indices=[0, 1, 2, 3],
    ),
    neck=dict(type=<WaMIMDecoder>, strides=16, embed_dims=16, num_heads=2),
    target_generator=dict(type=<WaveletTargetGenerator>, wavelet='haar', levels=(2, 3, 4, 5)),
    head=dict(type=<WaMIMHead>, loss_weights=(0.8, 0.9, 1.1, 1.2)),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type=<DefaultSampler>, shuffle=True),
    dataset=dict(
        type=<CustomDataset>,
        data_root=data_root,
        data_prefix='nowhere',
        with_label=False,
        pipeline=[
            dict(type=<LoadRandomResizedCrop>, scale=64),
            dict(type=<RandomDraw>),
            dict(type=<PackInputs>),
        ],
    ),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type=<AdamW>, lr=1e-3))
default_hooks = dict(masking=dict(type=<MaskingHook>))
"""
CLASSIFIER = """
model = dict(
    type=<ImageClassifier>,
    backbone=dict(
        type=<VisionTransformer>,
        arch=dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96),
        img_size=64,
        out_type='avg_featmap',
        final_norm=False,
    ),
    head=dict(type=<LinearClsHead>, num_classes=12, in_channels=48),
)
data_preprocessor = dict(type=<ClsDataPreprocessor>, num_classes=12, mean=[120] * 3, std=[60] * 3)
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type=<DefaultSampler>, shuffle=False),
    dataset=dict(
        type=<CustomDataset>,
        data_root=data_root,
        data_prefix='val',
        pipeline=[
            dict(type=<LoadImageFromFile>),
            dict(type=<LoadAnnotations>, with_bbox=False, with_label=False),
            dict(type=<ResizeEdge>, scale=64, edge='short'),
            dict(type=<CenterCrop>, crop_size=64),
            dict(type=<PackInputs>),
        ],
    ),
)
test_evaluator = dict(type=<Accuracy>, topk=(1, 5))
test_cfg = dict()
visualizer = dict(type=<UniversalVisualizer>)
"""
#: Where a config in pure Python imports a class from; those that are not here are ours.
MODULES = {
    'AdamW': 'torch.optim',
    'DefaultSampler': 'mmengine.dataset',
    'LoadAnnotations': 'mmcv.transforms',
    'LoadImageFromFile': 'mmcv.transforms',
    'CenterCrop': 'mmcv.transforms',
    'CustomDataset': 'mmpretrain.datasets',
    'PackInputs': 'mmpretrain.datasets',
    'ResizeEdge': 'mmpretrain.datasets',
    'Accuracy': 'mmpretrain.evaluation',
    'ImageClassifier': 'mmpretrain.models',
    'VisionTransformer': 'mmpretrain.models',
    'LinearClsHead': 'mmpretrain.models',
    'ClsDataPreprocessor': 'mmpretrain.models',
    'UniversalVisualizer': 'mmpretrain.visualization',
}
#: In MMEngine's registries themselves and not in mmpretrain's.
ROOT = {'AdamW', 'DefaultSampler', 'LoadAnnotations', 'MaskingHook'}
#: A user's module, with classes whose names say nothing about what they inherit from.
OWN = {
    'MODELS': ['ImageClassifier', 'VisionTransformer', 'WaMIM', 'WaMIMViT'],
    'DATASETS': ['CustomDataset'],
    'TRANSFORMS': ['LoadAnnotations', 'LoadImageFromFile', 'PackInputs'],
}
OWN_MODULE = f"""
from mmpretrain import registry

for kind, names in {OWN}.items():
    for name in names:
        own = type(name[::-1], (getattr(registry, kind).get(name),), {{}})
        getattr(registry, kind).register_module(module=own)
"""
WAYS = ('name', 'scoped', 'package', 'class', 'attribute', 'subclass')


def spelled(text, way):
    """A config with its classes written in one of the ways."""
    names = set(re.findall('<(.*?)>', text))
    ours = names - MODULES.keys()
    written = {name: f"'{name}'" for name in names}
    head = ["default_scope = 'mmpretrain'", "custom_imports = dict(imports=['wamim_mm'])"]
    if way in ('scoped', 'package'):
        written |= {name: f"'mmpretrain.{name}'" for name in names - ROOT}
        head.pop(0)
    if way == 'package':
        written |= {name: f"'wamim_mm.{name}'" for name in ours}
    if way == 'subclass':
        written |= {name: f"'{name[::-1]}'" for own in OWN.values() for name in own}
        head.append("custom_imports['imports'].append('own_classes')")
    if way in ('class', 'attribute'):
        written = {name: name for name in names}
        head = [f'from {MODULES[name]} import {name}' for name in sorted(names - ours)]
    if way == 'class':
        head += [f'from wamim_mm import {name}' for name in sorted(ours)]
    if way == 'attribute':
        head += ['import wamim_mm.models', 'import wamim_mm.data', 'import wamim_mm.hooks']
        written |= {name: f'wamim_mm.{wamim_mm._ROOMS[name]}.{name}' for name in ours}
    head += ["data_root = 'old'", 'randomness = dict(seed=0)']
    return '\n'.join([*head, re.sub('<(.*?)>', lambda match: written[match[1]], text)])


def call(main, *arguments):
    """A command, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [main.__module__, *map(str, arguments)])
        main()


@pytest.fixture(scope='module')
def results(scenes, tmp_path_factory):
    """What every command makes of the configs, by way and command."""
    top = tmp_path_factory.mktemp('spellings')
    (top / 'own_classes.py').write_text(OWN_MODULE)
    (top / 'plain.py').write_text(spelled(CLASSIFIER, 'name'))
    torch.manual_seed(0)
    classifier = dict(
        state_dict=build_model(Config.fromfile(top / 'plain.py')).state_dict(),
        meta=dict(dataset_meta=dict(classes=sorted(p.name for p in (scenes / 'val').iterdir()))),
    )
    torch.save(classifier, top / 'classifier.pth')
    for split in ('train', 'val'):
        (top / 'data').mkdir(exist_ok=True)
        (top / 'data' / split).symlink_to(scenes / 'val')
    gc.freeze()  # MMEngine collects garbage for every data set
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(top)
        patch.setattr(robustness, 'CORRUPTIONS', robustness.CORRUPTIONS[:1])
        yield {way: commands(top, way, scenes) for way in WAYS}
    gc.unfreeze()


def commands(top, way, scenes):
    out, weights, images = top / way, top / 'classifier.pth', scenes / 'val'
    out.mkdir()
    pretrain, classify = out / f'{way}_pretrain.py', out / f'{way}_classify.py'
    pretrain.write_text(spelled(PRETRAIN, way))
    classify.write_text(spelled(CLASSIFIER, way))
    options = ['--cfg-options', f'data_root={images}']

    call(train.main, pretrain, '--work-dir', out / 'run', *options)
    checkpoint = out / 'run' / 'epoch_1.pth'
    call(reconstruct.main, pretrain, checkpoint, images, '--out', out / 'a.png', '--count', 1)
    call(infer.main, pretrain, checkpoint, images, '--out', out / 'infer', '--count', 1)
    given = ['--data-root', top / 'data', '--random-seeds', 1, '--out', out / 'probe.json']
    call(linear_probe.main, pretrain, checkpoint, *given)
    own = ['--custom-imports', 'own_classes'] if way == 'subclass' else []
    call(export_backbone.main, checkpoint, out / 'timm.pth', '--to', 'timm', *own)

    call(infer.main, classify, weights, images, '--out', out / 'drawn', '--count', 2)
    places = ['--work-dir', out / 'test', '--cfg-options', f'data_root={scenes}']
    call(test.main, classify, weights, '--out', out / 'test.json', *places)
    given = ['--on', 'corruptions', '--severities', 1, '--out', out / 'robust.json']
    call(robustness.main, classify, weights, *given, *places)
    return {
        'train': torch.load(checkpoint, weights_only=False)['state_dict'],
        'reconstruct': (out / 'a.png').read_bytes(),
        'infer, pre-training': (out / 'infer' / 'reconstruction.png').read_bytes(),
        'linear_probe': json.loads((out / 'probe.json').read_text()),
        'export_backbone': torch.load(out / 'timm.pth'),
        'infer': [path.read_bytes() for path in sorted((out / 'drawn').rglob('*.png'))],
        'test': json.loads((out / 'test.json').read_text()),
        'robustness': json.loads((out / 'robust.json').read_text()),
    }


@pytest.mark.parametrize('way', WAYS[1:])
def test_the_same_result(results, way):
    plain, other = results['name'], results[way]
    assert len(plain['infer']) == 2 and plain['robustness']['corruptions']
    for command, result in plain.items():
        if command in ('train', 'export_backbone'):
            assert result.keys() == other[command].keys()
            assert all(torch.equal(result[name], other[command][name]) for name in result), command
        else:
            assert other[command] == result, command
