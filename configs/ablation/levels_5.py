"""Target levels: the coarsest alone, from the deepest feature.

tools/dist_train.sh configs/ablation/levels_5.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(
    backbone=dict(out_indices=[11]),
    target_generator=dict(levels=(5,)),
    head=dict(loss_weights=(1.2,)),
)
