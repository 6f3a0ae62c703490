"""Mask R-CNN on the built-in scenes, from a small ViT; the rest is as in the demo's.

python tools/train.py configs/study/transfer/mask-rcnn_vit.py \
    --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/wamim_vit/epoch_16.pth

From scratch: --cfg-options model.backbone.init_cfg=None.
"""

_base_ = '../../demo/mask-rcnn_swin.py'

max_iters = 400

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ViTDet',
        arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
        img_size=128,
        patch_size=16,
        window_size=8,
        global_blocks=(1, 3, 5),
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/wamim_vit/epoch_16.pth', prefix='backbone.'
        ),
    ),
    neck=dict(
        _delete_=True, type='mmpretrain.SimpleFeaturePyramid', in_channels=192, out_channels=64
    ),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, begin=0, end=20, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=20, end=max_iters, T_max=max_iters - 20, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
