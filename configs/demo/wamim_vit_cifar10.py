"""A small WaMIM ViT on CIFAR-10: 32 x 32 pixels, patches of 4, levels 1 to 3.

    python tools/train.py configs/demo/wamim_vit_cifar10.py --cfg-options data_root=DIR
    python tools/linear_probe.py configs/demo/wamim_vit_cifar10.py \
        work_dirs/wamim_vit_cifar10/epoch_1.pth --data-root DIR --val test

DIR holds the images as files, DIR/train/<class>/ and DIR/test/<class>/. Curves and numbers of such
a run: docs/real-images.md.
"""

_base_ = './_base_.py'

data_root = 'data/cifar10'
max_epochs = 1

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='WaMIMViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
        img_size=32,
        patch_size=4,
        out_indices=[1, 3, 5],
    ),
    neck=dict(type='WaMIMDecoder', strides=4, embed_dims=64, num_heads=2),
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(1, 2, 3), norm='subband'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 1.0, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

train_pipeline = [
    dict(
        type='LoadRandomResizedCrop', scale=32, crop_ratio_range=(0.4, 1.0), interpolation='bicubic'
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomDraw'),
    dict(type='PackInputs', algorithm_keys=['draw']),
]
train_dataloader = dict(batch_size=64, dataset=dict(data_root=data_root, pipeline=train_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs)
