"""Target levels: the three coarsest, from the three deepest features.

tools/dist_train.sh configs/ablation/levels_3-5.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(
    backbone=dict(out_indices=[5, 8, 11]),
    target_generator=dict(levels=(3, 4, 5)),
    head=dict(loss_weights=(0.9, 1.1, 1.2)),
)
