"""Mask ratio: 60 % of the patches hidden.

python tools/train.py configs/ablation/cifar10/ratio_60_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(mask_ratio=0.6)
