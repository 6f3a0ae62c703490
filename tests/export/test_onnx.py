"""onnxruntime computes what mmpretrain computes, for batches of any size."""

import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from wamim_mm.export import export_backbone, to_onnx

from .test_export import ARGS, PREPROCESSOR, SWIN, VIT, export, save, source  # noqa: F401

SIDES = dict(WaMIMViT=64, WaMIMSwinTransformer=128, ResNet=224)
CLASSIFIERS = {
    'vit': dict(
        type='ImageClassifier',
        backbone=dict(VIT, type='VisionTransformer', out_indices=-1),
        head=dict(type='VisionTransformerClsHead', num_classes=4, in_channels=48),
    ),
    'swin': dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(SWIN, type='SwinTransformer', out_indices=(3,)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=4, in_channels=128),
        train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]),
    ),
    'resnet': dict(
        type='ImageClassifier',
        backbone=dict(ARGS['ResNet'], type='ResNet', out_indices=(3,)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=512),
    ),
}


@pytest.mark.parametrize('name', SIDES)
@torch.no_grad()
def test_encoder(export, name):  # noqa: F811
    model = source(name)
    printed, out = export(model, name, 'onnx')
    session = onnxruntime.InferenceSession(out)
    for batch in (1, 5):
        images = torch.randn(batch, 3, SIDES[name], SIDES[name])
        found = session.run(None, dict(images=images.numpy()))
        if name == 'WaMIMViT':
            model.out_type = 'featmap'  # nothing has trained its class token
        expected = model(images)
        assert len(found) == len(expected) == len(ARGS[name]['out_indices'])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4, rtol=1e-4)
    names = [output.name for output in session.get_outputs()]
    assert names == [f'features_{i}' for i in range(len(names))] and ', '.join(names) in printed
    assert f'(N, 3, {SIDES[name]}, {SIDES[name]})' in printed
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about['mean']) == [0.485, 0.456, 0.406]


@pytest.mark.parametrize('name', CLASSIFIERS)
@torch.no_grad()
def test_classifier(tmp_path, name):
    model = MODELS.build(CLASSIFIERS[name])
    model.eval()
    config = Config(dict(data_preprocessor=PREPROCESSOR, model=CLASSIFIERS[name]))
    config.default_scope = 'mmpretrain'
    meta = dict(cfg=config.pretty_text, dataset_meta=dict(classes=['a', 'b', 'c', 'd']))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / 'a.pth')
    printed = export_backbone(str(tmp_path / 'a.pth'), tmp_path / 'a.onnx', 'onnx')
    assert 'gives logits;' in printed and 'has mean, std, classes' in printed
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    side = dict(vit=64, swin=128, resnet=224)[name]
    for batch in (1, 5):
        images = torch.randn(batch, 3, side, side)
        found = session.run(['logits'], dict(images=images.numpy()))[0]
        np.testing.assert_allclose(found, model(images).numpy(), atol=1e-4, rtol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about['classes']) == ['a', 'b', 'c', 'd']


def test_a_wrong_program_is_not_written(tmp_path, monkeypatch):
    """As Swin's was, whose windows were put together for the batch that was exported."""
    checkpoint = save(source('ResNet'), tmp_path / 'a.pth', 'ResNet')

    def forward(self, images):
        return tuple(self.model(images + int(torch.compiler.is_exporting())))

    monkeypatch.setattr(to_onnx._Outputs, 'forward', forward)
    with pytest.raises(RuntimeError, match='onnxruntime differs by'):
        export_backbone(checkpoint, tmp_path / 'a.onnx', 'onnx')
    assert not (tmp_path / 'a.onnx').exists()


def test_names_and_missing_libraries(tmp_path, monkeypatch):
    checkpoint = save(source('ResNet'), tmp_path / 'a.pth', 'ResNet')
    with pytest.raises(ValueError, match=r'a name that ends in \.onnx'):
        export_backbone(checkpoint, tmp_path / 'a.safetensors', 'onnx')
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    with pytest.raises(ImportError, match=r'--to onnx needs onnxscript .*pip install onnxscript'):
        export_backbone(checkpoint, tmp_path / 'a.onnx', 'onnx')
