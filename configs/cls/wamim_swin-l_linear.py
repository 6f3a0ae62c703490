"""Linear probing of a WaMIM Swin-L on ImageNet-1K, 90 epochs.

The rest is as in wamim_swin-b_linear.py: MAE's recipe for ViT, taken over and not tuned.

    tools/dist_train.sh configs/cls/wamim_swin-l_linear.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './wamim_swin-b_linear.py'

checkpoint = 'work_dirs/wamim_swin-l/epoch_800.pth'

model = dict(
    backbone=dict(
        arch='large',
        window_size=14,
        stage_cfgs=[dict(), dict(), dict(), dict(window_size=7)],  # 7 x 7 tokens in the last
        init_cfg=dict(checkpoint=checkpoint),
    ),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=1536),
    ],
    head=dict(in_channels=1536),
)
