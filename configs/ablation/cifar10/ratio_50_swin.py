"""Mask ratio: half of the units hidden.

python tools/train.py configs/ablation/cifar10/ratio_50_swin.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_swin.py'

model = dict(mask_ratio=0.5)
