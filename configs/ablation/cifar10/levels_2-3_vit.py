"""Target levels: the two coarsest, from blocks 3 and 6.

python tools/train.py configs/ablation/cifar10/levels_2-3_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(
    backbone=dict(out_indices=[2, 5]),
    target_generator=dict(levels=(2, 3)),
    head=dict(loss_weights=(1.0, 1.2)),
)
