"""UperNet on the built-in scenes, from the demo's Swin; `make demo` also trains it from scratch.

    python tools/train.py configs/demo/upernet_swin.py
    python tools/train.py configs/demo/upernet_swin.py --cfg-options model.backbone.init_cfg=None

The segmentor of configs/seg at the size of the scenes: 18 classes, objects and backgrounds.
"""

_base_ = '../_base_/runtime.py'

custom_imports = dict(imports=['wamim_mm', 'mmseg.models', 'mmseg.datasets'])
default_scope = 'mmseg'

data_root = 'work_dirs/demo/scenes'
checkpoint = 'work_dirs/demo/swin/epoch_8.pth'
crop_size = (128, 128)
max_iters = 140
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size=crop_size,
    ),
    backbone=dict(
        type='SwinTransformer',
        embed_dims=48,
        depths=(1, 3, 2),
        num_heads=(2, 4, 8),
        strides=(4, 2, 2),
        window_size=8,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2),
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    decode_head=dict(
        type='UPerHead',
        in_channels=[48, 96, 192],
        in_index=[0, 1, 2],
        pool_scales=(1, 2, 4),
        channels=64,
        num_classes=18,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False),
    ),
    test_cfg=dict(mode='whole'),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=crop_size, ratio_range=(1.0, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    reduce_zero_label=True,
    metainfo=dict(classes=f'{data_root}/labels.txt'),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='train', seg_map_path='annotations/train'),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='val', seg_map_path='annotations/val'),
        pipeline=test_pipeline,
        indices=list(range(0, 600, 4)),  # of 600 scenes, which are sorted by class
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, begin=0, end=20, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=20, end=max_iters, T_max=max_iters - 20, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=max_iters, max_keep_ckpts=1),
    visualization=dict(type='SegVisualizationHook'),
)
log_processor = dict(by_epoch=False)
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
