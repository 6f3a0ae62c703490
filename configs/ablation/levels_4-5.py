"""Target levels: the two coarsest, from the two deepest features.

tools/dist_train.sh configs/ablation/levels_4-5.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(
    backbone=dict(out_indices=[8, 11]),
    target_generator=dict(levels=(4, 5)),
    head=dict(loss_weights=(1.1, 1.2)),
)
