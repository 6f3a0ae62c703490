"""WaMIM, Swin-L on ImageNet-1K, 400 epochs; features of blocks 2, 4, 22 and 24.

The rest is as in wamim_swin-b.py.

    tools/dist_train.sh configs/pretrain/wamim_swin-l.py 8 --amp

Time and accuracy: not measured, and the paper gives no number for this size.
"""

_base_ = './wamim_swin-b.py'

model = dict(backbone=dict(arch='large'))
