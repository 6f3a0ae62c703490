"""Linear probing of a WaMIM ViT-L/16 on ImageNet-1K, 90 epochs.

The rest is as in wamim_vit-b_linear.py: MAE's recipe, not tuned for this size.

    tools/dist_train.sh configs/cls/wamim_vit-l_linear.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './wamim_vit-b_linear.py'

checkpoint = 'work_dirs/wamim_vit-l/epoch_800.pth'

model = dict(
    backbone=dict(arch='large', frozen_stages=24, init_cfg=dict(checkpoint=checkpoint)),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=1024),
    ],
    head=dict(in_channels=1024),
)
