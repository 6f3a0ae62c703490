"""Fine-tuning of an MFM ResNet-50 on ImageNet-1K, 100 epochs at 160 pixels, tested at 224.

    tools/dist_train.sh configs/cls/mfm_r50_finetune-100e.py 8 --amp

The recipe is A3 of "ResNet strikes back" (arXiv 2110.00476); the rest is as in
mfm_r50_finetune-300e.py.
Time and accuracy: not measured. MFM's release reports 78.5 % top-1 (MFM), 77.9 % (SR), 78.0 %
(deblur) and 77.5 % (denoise) after 300 epochs of pre-training.
"""

_base_ = './mfm_r50_finetune-300e.py'

max_epochs = 100
warmup_epochs = 5

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=160, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5),
    dict(  # timm's rand-m6-mstd0.5-inc1
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=6,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(pipeline=train_pipeline)
)

model = dict(backbone=dict(drop_path_rate=0.0))

optim_wrapper = dict(optimizer=dict(lr=8e-3))
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
        eta_min=1e-6,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
