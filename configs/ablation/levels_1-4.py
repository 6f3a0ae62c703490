"""Target levels: one finer each, from 112 x 112 to 14 x 14 coefficients.

tools/dist_train.sh configs/ablation/levels_1-4.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(levels=(1, 2, 3, 4)))
