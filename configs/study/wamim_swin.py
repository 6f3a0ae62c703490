"""WaMIM, small Swin on CIFAR-10: levels 1 to 3 from the three stages.

python tools/train.py configs/study/wamim_swin.py --cfg-options data_root=DIR

A stage's stride is that of its level, as in Swin-B. A mask unit is 8 pixels, one token of the last
stage.
"""

_base_ = './wamim_vit.py'

model = dict(
    backbone=dict(_delete_=True, type='WaMIMSwinTransformer', **_base_.swin, out_indices=(0, 1, 2)),
    neck=dict(strides=(4, 4, 8)),
)
