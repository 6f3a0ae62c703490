"""Linear probing of a WaMIM ViT-S/16 on ImageNet-1K, 90 epochs.

The rest is as in wamim_vit-b_linear.py: MAE's recipe, not tuned for this size.

    tools/dist_train.sh configs/cls/wamim_vit-s_linear.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './wamim_vit-b_linear.py'

checkpoint = 'work_dirs/wamim_vit-s/epoch_400.pth'

model = dict(
    backbone=dict(arch='deit-small', init_cfg=dict(checkpoint=checkpoint)),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=384),
    ],
    head=dict(in_channels=384),
)
