"""Target levels: the finest alone, from the last block.

python tools/train.py configs/ablation/cifar10/levels_1_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(
    backbone=dict(out_indices=[5]),
    target_generator=dict(levels=(1,)),
    head=dict(loss_weights=(1.0,)),
)
