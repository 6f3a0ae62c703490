"""WaMIM, Swin-T on ImageNet-1K, 400 epochs; features of blocks 2, 4, 10 and 12.

The rest is as in wamim_swin-b.py.

    tools/dist_train.sh configs/pretrain/wamim_swin-t.py 8 --amp

Time and accuracy: not measured, and the paper gives no number for this size.
"""

_base_ = './wamim_swin-b.py'

model = dict(backbone=dict(arch='tiny'))
