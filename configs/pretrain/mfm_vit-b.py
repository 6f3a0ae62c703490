"""MFM, ViT-B/16 on ImageNet-1K, 300 epochs.

    tools/dist_train.sh configs/pretrain/mfm_vit-b.py 8 --amp

Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train.
Hardware: 8 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. MFM's release reports 83.1 % top-1
after fine-tuning. Its recipe is followed, but for the initialization of the encoder, which is
mmpretrain's.
"""

_base_ = ['../_base_/pretrain_data.py', '../_base_/runtime.py']

max_epochs = 300
warmup_epochs = 20
batch_size = 2048  # 8 x 256
base_lr = 3e-4  # for 512 images

model = dict(
    type='MFM',
    img_size=224,
    data_preprocessor={{_base_.data_preprocessor}},
    # Frequencies inside or outside the circle are removed, drawn for every image.
    degradation=dict(type='FrequencyFilter', radius=16, low_pass_prob=0.5, per='sample'),
    # The whole image is encoded: no mask token, no token dropped.
    backbone=dict(
        type='VisionTransformer', arch='base', img_size=224, patch_size=16, out_type='featmap'
    ),
    # Only removed frequencies count.
    head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', gamma=1.0)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=base_lr * batch_size / 512,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,
    ),
    clip_grad=dict(max_norm=3.0),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(pos_embed=dict(decay_mult=0.0), cls_token=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=2.5e-7 / base_lr,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - warmup_epochs,
        eta_min_ratio=2.5e-6 / base_lr,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
