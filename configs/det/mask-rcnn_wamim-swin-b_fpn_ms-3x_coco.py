"""Mask R-CNN with FPN on a pre-trained Swin-B, COCO, 36 epochs at many scales.

    tools/dist_train.sh configs/det/mask-rcnn_wamim-swin-b_fpn_ms-3x_coco.py 8 --amp \
        --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/wamim_swin-b/epoch_400.pth

Data: COCO_ROOT=DIR or --cfg-options data_root=DIR, with annotations, train2017 and val2017 in DIR.
Hardware: 8 GPUs, 2 images on each; on others keep the batch or add --auto-scale-lr.
Time and AP: not measured, no COCO run was made. The recipe is that of mmdet's Swin configs.
"""

_base_ = './mask-rcnn_wamim-swin-b_fpn_1x_coco.py'

max_epochs = 36
short_sides = [(side, 1333) for side in range(480, 801, 32)]

# As in DETR: half of the images are resized, the other half resized, cropped and resized again.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='RandomChoiceResize', scales=short_sides, keep_ratio=True)],
            [
                dict(
                    type='RandomChoiceResize',
                    scales=[(400, 1333), (500, 1333), (600, 1333)],
                    keep_ratio=True,
                ),
                dict(
                    type='RandomCrop',
                    crop_type='absolute_range',
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type='RandomChoiceResize', scales=short_sides, keep_ratio=True),
            ],
        ],
    ),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', end=max_epochs, milestones=[27, 33]),
]
train_cfg = dict(max_epochs=max_epochs)
