"""Target levels: the finest alone, from the deepest feature.

tools/dist_train.sh configs/ablation/levels_2.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(
    backbone=dict(out_indices=[11]),
    target_generator=dict(levels=(2,)),
    head=dict(loss_weights=(0.8,)),
)
