"""WaMIM, ViT-S/16 on ImageNet-1K, 400 epochs.

The rest is as in wamim_vit-b.py.

    tools/dist_train.sh configs/pretrain/wamim_vit-s.py 8 --amp

Time and accuracy: not measured, and the paper gives no number for this size.
"""

_base_ = './wamim_vit-b.py'

model = dict(backbone=dict(arch='deit-small'))
