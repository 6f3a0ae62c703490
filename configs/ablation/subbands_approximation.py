"""Subbands: the approximation alone, which is a small image.

tools/dist_train.sh configs/ablation/subbands_approximation.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(subbands=('cA',)))
