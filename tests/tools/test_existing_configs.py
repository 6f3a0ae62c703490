"""Configs of mmdet and mmsegmentation that know nothing of this project take a WaMIM checkpoint."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from .commands import steps, train


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """What configs/pretrain/wamim_swin-t.py leaves behind, at full size."""
    root = Path(__file__).resolve().parent.parent.parent
    cfg = Config.fromfile(root / 'configs' / 'pretrain' / 'wamim_swin-t.py')
    model = MODELS.build(dict(cfg.model, _scope_='mmpretrain'))
    path = tmp_path_factory.mktemp('pretrained') / 'wamim_swin-t.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text)), path)
    return path


def loaders(**values):
    return [
        f'{loader}.{key}={value}'
        for loader in ('train_dataloader', 'val_dataloader')
        for key, value in values.items()
    ]


def test_mmdet_mask_rcnn(root, checkpoint, shared_data, tmp_path):
    configs = Path(mmdet.__file__).parent / '.mim' / 'configs'
    options = [
        f'data_root={shared_data / "tiny_coco"}/',
        f'model.backbone.init_cfg.checkpoint={checkpoint}',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=9',
        'train_dataloader.batch_size=1',
        'model.test_cfg.rcnn.score_thr=0.0',  # without a prediction there is no AP
        'train_dataloader.dataset.pipeline.2.scale=(160,160)',
        'val_dataloader.dataset.pipeline.1.scale=(160,160)',
        'default_hooks.logger.interval=1',
        *loaders(**{'num_workers': 0, 'persistent_workers': False, 'dataset.indices': 3}),
    ]
    config = configs / 'swin' / 'mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'
    # The config is for the original Swin checkpoint.
    refused = train(root, config, tmp_path / 'refused', options=options)
    assert refused.returncode != 0
    assert 'set model.backbone.convert_weights=False' in refused.stderr

    options.append('model.backbone.convert_weights=False')
    done = train(root, config, tmp_path / 'done', options=options)
    assert done.returncode == 0, done.stderr
    assert 'loaded 177 of 177 backbone tensors' in done.stderr + done.stdout
    *logged, scores = steps(tmp_path / 'done')
    assert len(logged) == 3 and all(step['loss_mask'] > 0 for step in logged)
    assert 'coco/segm_mAP' in scores


def test_mmseg_upernet(root, checkpoint, shared_data, tmp_path):
    name = 'swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
    options = [
        f'data_root={shared_data / "ade20k_samples"}',
        f'model.backbone.init_cfg.checkpoint={checkpoint}',
        'model.data_preprocessor.size=(64,64)',
        'train_dataloader.dataset.data_prefix.img_path=images/validation',
        'train_dataloader.dataset.data_prefix.seg_map_path=annotations/validation',
        'train_dataloader.dataset.pipeline.2.scale=(256,64)',
        'val_dataloader.dataset.pipeline.1.scale=(256,64)',
        'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=9',
        'default_hooks.logger.interval=1',
        *loaders(num_workers=0, persistent_workers=False),
    ]
    done = train(root, f'mmseg::swin/{name}', tmp_path / 'done', options=options)
    assert done.returncode == 0, done.stderr
    assert 'loaded 177 of 177 backbone tensors' in done.stderr + done.stdout
    *logged, scores = steps(tmp_path / 'done')
    assert len(logged) == 2 and all(step['decode.loss_ce'] > 0 for step in logged)
    assert 'mIoU' in scores
