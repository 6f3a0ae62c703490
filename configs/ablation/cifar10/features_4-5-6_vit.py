"""Features of blocks 4, 5 and 6.

python tools/train.py configs/ablation/cifar10/features_4-5-6_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(backbone=dict(out_indices=[3, 4, 5]))
