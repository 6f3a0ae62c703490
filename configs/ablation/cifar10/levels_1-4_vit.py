"""Target levels: four, from blocks 2, 3, 5 and 6; the fourth has 2 x 2 coefficients.

python tools/train.py configs/ablation/cifar10/levels_1-4_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(
    backbone=dict(out_indices=[1, 2, 4, 5]),
    target_generator=dict(levels=(1, 2, 3, 4)),
    head=dict(loss_weights=(0.8, 0.9, 1.1, 1.2)),
)
