"""Mask ratio: 90 % of the patches hidden.

python tools/train.py configs/ablation/cifar10/ratio_90_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(mask_ratio=0.9)
