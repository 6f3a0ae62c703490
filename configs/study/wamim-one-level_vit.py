"""WaMIM with one level, small ViT on CIFAR-10: the level of the patch, from the last block.

python tools/train.py configs/study/wamim-one-level_vit.py --cfg-options data_root=DIR
"""

_base_ = './wamim_vit.py'

model = dict(
    backbone=dict(out_indices=[5]),
    target_generator=dict(levels=(2,)),
    head=dict(loss_weights=(1.0,)),
)
