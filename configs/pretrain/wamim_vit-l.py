"""WaMIM, ViT-L/16 on ImageNet-1K, 400 epochs; features of blocks 6, 12, 18 and 24.

The rest is as in wamim_vit-b.py.

    tools/dist_train.sh configs/pretrain/wamim_vit-l.py 8 --amp

Time and accuracy: not measured, and the paper gives no number for this size.
"""

_base_ = './wamim_vit-b.py'

model = dict(backbone=dict(arch='large', out_indices=[5, 11, 17, 23]))
