"""Fine-tuning of a WaMIM ViT-B/16 on ImageNet-1K, 100 epochs.

    tools/dist_train.sh configs/cls/wamim_vit-b_finetune.py 8 --amp
    tools/dist_test.sh configs/cls/wamim_vit-b_finetune.py \
        work_dirs/wamim_vit-b_finetune/epoch_100.pth 8

Checkpoint: what configs/pretrain/wamim_vit-b.py writes; another one with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train/<class> and
DIR/val/<class>.
Hardware: 8 GPUs, 128 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The recipe is LocalMIM's, which
reaches 84.0 % top-1 with it after 1600 epochs of pre-training on HOG targets.
"""

_base_ = ['../_base_/imagenet_finetune_data.py', '../_base_/runtime.py']

checkpoint = 'work_dirs/wamim_vit-b/epoch_400.pth'
max_epochs = 100
warmup_epochs = 20
batch_size = 1024  # 8 x 128

model = dict(
    type='ImageClassifier',
    data_preprocessor={{_base_.data_preprocessor}},
    # Tokens are normalized, then averaged (Beyer et al., arXiv 2205.01580), so that the checkpoint
    # holds every tensor. MAE, LocalMIM and MFM average first and train a new norm behind.
    backbone=dict(
        type='VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='featmap',
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        flat_decay_mult=0.0,  # biases and norms
        custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
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
        eta_min_ratio=5e-3,  # to 1e-5, and to as small a share in the layers below
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
