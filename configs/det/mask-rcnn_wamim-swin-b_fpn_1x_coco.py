"""Mask R-CNN with FPN on a pre-trained Swin-B, COCO, 12 epochs.

    tools/dist_train.sh configs/det/mask-rcnn_wamim-swin-b_fpn_1x_coco.py 8 --amp \
        --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/wamim_swin-b/epoch_400.pth

Data: COCO_ROOT=DIR or --cfg-options data_root=DIR, with annotations, train2017 and val2017 in DIR.
Hardware: 8 GPUs, 2 images on each; on others keep the batch or add --auto-scale-lr.
Time and AP: not measured, no COCO run was made. The recipe is that of mmdet's Swin configs.
"""

_base_ = '../_base_/coco_mask_rcnn.py'

max_epochs = 12
checkpoint = 'work_dirs/wamim_swin-b/epoch_400.pth'

model = dict(
    # mmdet's own Swin: its tensors have the names of the pre-trained encoder's.
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=7,
        drop_path_rate=0.3,
        out_indices=(0, 1, 2, 3),
        convert_weights=False,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True
    ),
    # Biases decay, as in mmdet's file.
    paramwise_cfg=dict(
        norm_decay_mult=0.0, custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0))
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', end=max_epochs, milestones=[8, 11]),
]
train_cfg = dict(max_epochs=max_epochs)
