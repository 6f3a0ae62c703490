"""Mask R-CNN with a simple feature pyramid on a pre-trained ViT-B (ViTDet), COCO, 100 epochs.

    tools/dist_train.sh configs/det/mask-rcnn_wamim-vit-b_sfp_coco.py 8 --amp \
        --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/wamim_vit-b/epoch_400.pth

Data: COCO_ROOT=DIR or --cfg-options data_root=DIR, with annotations, train2017 and val2017 in DIR.
Hardware: 8 GPUs, 8 images of 1024 x 1024 on each; on others keep the batch or add --auto-scale-lr.
model.backbone.with_cp=True saves memory for time.
Time and AP: not measured, no COCO run was made. The recipe is that of ViTDet (arXiv 2203.16527)
in detectron2, without its relative positions, and with the pre-trained encoder's final norm.
"""

_base_ = '../_base_/coco_mask_rcnn.py'

max_epochs = 100
warmup_iters = 250
batch_size = 64  # 8 x 8
image_size = (1024, 1024)
checkpoint = 'work_dirs/wamim_vit-b/epoch_400.pth'
norm_cfg = dict(type='mmpretrain.LN2d', eps=1e-6)

model = dict(
    # Images are 1024 at most on their longer side: the batch is padded to squares of that size, in
    # training and in testing, with zeros behind the normalization (the mean colour), as detectron2
    # does with square_pad; mmdet's port pads with grey before it.
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ViTDet',
        arch='base',
        img_size=224,
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(
        _delete_=True, type='mmpretrain.SimpleFeaturePyramid', in_channels=768, out_channels=256
    ),
    # ViTDet's heads: two convolutions before the proposals, four before the boxes, and layer norm.
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)

# Large-scale jitter: resized by 0.1 to 2.0, then cropped.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(batch_size=8, num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1, fused=True
    ),
    # Biases decay: detectron2 exempts norms and the position embedding only.
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        norm_decay_mult=0.0,
        custom_keys=dict(pos_embed=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='MultiStepLR', end=max_epochs, milestones=[89, 96]),  # 8/9 and 24/25
]
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
auto_scale_lr = dict(base_batch_size=batch_size)
