"""Target levels: the two finest, from blocks 3 and 6.

python tools/train.py configs/ablation/cifar10/levels_1-2_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(
    backbone=dict(out_indices=[2, 5]),
    target_generator=dict(levels=(1, 2)),
    head=dict(loss_weights=(0.8, 1.0)),
)
