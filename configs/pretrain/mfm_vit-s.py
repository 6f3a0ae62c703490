"""MFM, ViT-S/16 on ImageNet-1K, 300 epochs.

The rest is as in mfm_vit-b.py.

    tools/dist_train.sh configs/pretrain/mfm_vit-s.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './mfm_vit-b.py'

model = dict(backbone=dict(arch='deit-small'))
