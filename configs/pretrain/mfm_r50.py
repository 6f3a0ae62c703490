"""MFM, ResNet-50 on ImageNet-1K, 300 epochs.

The rest is as in mfm_vit-b.py.

    tools/dist_train.sh configs/pretrain/mfm_r50.py 8 --amp

Time and accuracy: not measured. MFM's release reports 78.5 % top-1 after fine-tuning for 100
epochs, and 80.1 % after 300.
"""

_base_ = './mfm_vit-b.py'

model = dict(
    degradation=dict(low_pass_prob=0.3),
    backbone=dict(_delete_=True, type='ResNet', depth=50, out_indices=(3,)),
)
