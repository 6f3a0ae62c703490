"""Patch embedding initialized as a convolution, which is mmpretrain's default.

python tools/train.py configs/ablation/cifar10/init_plain_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

custom_imports = dict(imports=['wamim_mm', 'benchmarks.study.controls'])
model = dict(backbone=dict(type='PlainPatchInit'))
