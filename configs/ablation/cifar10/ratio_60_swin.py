"""Mask ratio: 60 % of the units hidden, SimMIM's.

python tools/train.py configs/ablation/cifar10/ratio_60_swin.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_swin.py'

model = dict(mask_ratio=0.6)
