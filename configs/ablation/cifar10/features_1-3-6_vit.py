"""Features of blocks 1, 3 and 6.

python tools/train.py configs/ablation/cifar10/features_1-3-6_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(backbone=dict(out_indices=[0, 2, 5]))
