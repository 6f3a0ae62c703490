"""Mask ratio: half of the patches hidden.

python tools/train.py configs/ablation/cifar10/ratio_50_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(mask_ratio=0.5)
