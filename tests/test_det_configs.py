"""Every detection config builds at full size and has the recipe that it names."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

CONFIGS = Path(__file__).parent.parent / 'configs'
SWIN = 'mmdet.models.backbones.swin.SwinTransformer'
VIT = 'wamim_mm.models.dense.vitdet.ViTDet'
RESNET = 'mmdet.models.backbones.resnet.ResNet'
EPOCHS = {'wamim': 400, 'mfm': 300}
# Name: the pre-training config; the backbone's class, drop path, parameters of the detector in
# millions; epochs, their steps, images in a batch, weight decay.
FACTS = {
    'mask-rcnn_wamim-swin-b_fpn_1x_coco': (
        'wamim_swin-b',
        (SWIN, 0.3, 107),
        (12, [8, 11], 16, 0.05),
    ),
    'mask-rcnn_wamim-swin-b_fpn_ms-3x_coco': (
        'wamim_swin-b',
        (SWIN, 0.3, 107),
        (36, [27, 33], 16, 0.05),
    ),
    'mask-rcnn_wamim-vit-b_sfp_coco': (
        'wamim_vit-b',
        (VIT, 0.1, 111),
        (100, [89, 96], 64, 0.1),
    ),
    'mask-rcnn_mfm-vit-b_sfp_coco': (
        'mfm_vit-b',
        (VIT, 0.1, 111),
        (100, [89, 96], 64, 0.1),
    ),
    'mask-rcnn_mfm-r50_fpn_1x_coco': (
        'mfm_r50',
        (RESNET, None, 45.7),
        (12, [8, 11], 16, 1e-4),
    ),
}


def load(name):
    return Config.fromfile(CONFIGS / f'det/{name}.py')


@pytest.fixture(autouse=True)
def scope():
    """As the configs' `default_scope`."""
    init_default_scope('mmdet')


def test_all_are_there():
    assert {path.stem for path in CONFIGS.glob('det/*.py')} == set(FACTS)


@pytest.mark.parametrize('name', FACTS)
def test_detection_config(name):
    pretraining, (backbone, drop_path, millions), (epochs, steps, batch, decay) = FACTS[name]
    cfg = load(name)
    model = MODELS.build(cfg.model)
    kind = type(model.backbone)
    assert f'{kind.__module__}.{kind.__name__}' == backbone
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)
    assert cfg.model.backbone.get('drop_path_rate') == drop_path

    # The pre-trained encoder fits by its prefix alone, tensor by tensor.
    encoder = Config.fromfile(CONFIGS / f'pretrain/{pretraining}.py').model.backbone
    encoder = MODELS.build({**encoder, '_scope_': 'mmpretrain'})
    shapes, expected = (
        {key: tensor.shape for key, tensor in part.state_dict().items()}
        for part in (model.backbone, encoder)
    )
    assert shapes == expected
    assert cfg.model.backbone.init_cfg == dict(
        type='Pretrained',
        checkpoint=f'work_dirs/{pretraining}/epoch_{EPOCHS[pretraining.split("_")[0]]}.pth',
        prefix='backbone.',
    )

    model.eval()  # SyncBN trains on GPUs only
    with torch.no_grad():
        maps = model.extract_feat(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (1, 256, 64 // s, 96 // s) for s in (4, 8, 16, 32)
    ] + [(1, 256, 1, 2)]

    assert cfg.train_cfg.max_epochs == epochs == cfg.param_scheduler[1].end
    assert cfg.param_scheduler[1].milestones == steps
    assert cfg.auto_scale_lr.base_batch_size == batch == 8 * cfg.train_dataloader.batch_size
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    if backbone == RESNET:  # trained whole, everything decays
        assert set(decays) == {id(p) for p in model.parameters()}
        assert set(decays.values()) == {decay}
        return
    for key, parameter in model.named_parameters():
        if id(parameter) in decays:
            free = 'norm' in key or '.ln' in key or key.endswith(('pos_embed', 'bias_table'))
            free = free or key in ('neck.scales.0.1.weight', 'neck.scales.0.1.bias')
            assert decays[id(parameter)] == (0 if free else decay), key


def test_layer_decay_of_the_vit():
    cfg = load('mask-rcnn_wamim-vit-b_sfp_coco')
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    backbone = model.backbone
    for depth, part in enumerate([backbone.patch_embed, *backbone.layers, model.neck]):
        for parameter in part.parameters():
            assert rates[id(parameter)] == pytest.approx(1e-4 * 0.7 ** (13 - depth))


def test_the_vit_sees_squares():
    """In training and in testing alike, as its position embedding is stretched over the input."""
    cfg = load('mask-rcnn_wamim-vit-b_sfp_coco')
    preprocess = MODELS.build(cfg.model.data_preprocessor)
    for training in (True, False):
        batch = dict(inputs=[torch.zeros(3, 640, 1024), torch.zeros(3, 102, 77)], data_samples=None)
        assert preprocess(batch, training)['inputs'].shape == (2, 3, 1024, 1024)


def test_many_scales():
    pipeline = load('mask-rcnn_wamim-swin-b_fpn_ms-3x_coco').train_dataloader.dataset.pipeline
    (plain,), (_, _, last) = pipeline[3].transforms
    expected = [(side, 1333) for side in (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)]
    assert plain.scales == last.scales == expected


def test_data_root(monkeypatch):
    name = 'mask-rcnn_wamim-swin-b_fpn_ms-3x_coco'
    monkeypatch.setenv('COCO_ROOT', '/data/coco')
    cfg = load(name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/data/coco'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == '/data/coco/annotations/instances_val2017.json'
    monkeypatch.delenv('COCO_ROOT')
    assert load(name).data_root == 'data/coco'


def test_configs_open_with_their_command():
    for name in FACTS:
        head = (CONFIGS / f'det/{name}.py').read_text().split('"""')[1]
        assert f'tools/dist_train.sh configs/det/{name}.py' in head
