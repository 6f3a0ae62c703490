"""What the methods of the study share: CIFAR-10 at 32 x 32, ten epochs, two encoders of like cost.

docs/study.md says why. The study itself (`python -m benchmarks.study`) takes model, optimizer and
mask generator from these configs, and the images from memory.
"""

_base_ = ['../_base_/pretrain_data.py', '../_base_/runtime.py']

data_root = 'data/cifar10'
max_epochs = 10

# A Swin of three stages on patches of 2: strides of 2, 4 and 8 pixels.
vit = dict(
    arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
    img_size=32,
    patch_size=4,
)
swin = dict(
    arch=dict(embed_dims=96, depths=[2, 2, 2], num_heads=[3, 6, 12]),
    img_size=32,
    patch_cfg=dict(kernel_size=2, stride=2),
    stage_cfgs=dict(block_cfgs=dict(window_size=4)),
    drop_path_rate=0.0,
)

# For MFM alone: a feature map of stride 8.
resnet = dict(depth=18, stem_channels=32, base_channels=32)

train_pipeline = [
    dict(
        type='LoadRandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0), interpolation='bicubic'
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomDraw'),
    dict(type='PackInputs', algorithm_keys=['draw']),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    pin_memory=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    constructor='MergedOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=64)
