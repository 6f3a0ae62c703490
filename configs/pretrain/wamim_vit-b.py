"""WaMIM, ViT-B/16 on ImageNet-1K, 400 epochs.

    tools/dist_train.sh configs/pretrain/wamim_vit-b.py 8 --amp

Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train.
Hardware: 8 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The closest published relative,
LocalMIM with HOG targets, fine-tunes to 84.0 % top-1 after 1600 epochs (see docs/method.md).
"""

_base_ = ['../_base_/pretrain_data.py', '../_base_/runtime.py']

max_epochs = 400
warmup_epochs = 40
batch_size = 2048  # 8 x 256
base_lr = 2e-4  # for 256 images

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    # The encoder sees the visible quarter of the patches; blocks 3, 6, 9 and 12 are decoded.
    backbone=dict(
        type='WaMIMViT', arch='base', img_size=224, patch_size=16, out_indices=[2, 5, 8, 11]
    ),
    # One small decoder for each feature, on the grid of the patches.
    neck=dict(type='WaMIMDecoder', strides=16, embed_dims=256, num_heads=8, num_layers=1),
    # Fine levels are predicted from shallow features, coarse levels from deep ones.
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(2, 3, 4, 5), norm='subband'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 0.9, 1.1, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=base_lr * batch_size / 256,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,
    ),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(mask_token=dict(decay_mult=0.0), cls_token=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - warmup_epochs,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
