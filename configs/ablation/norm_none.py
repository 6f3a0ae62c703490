"""Normalization: none.

tools/dist_train.sh configs/ablation/norm_none.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(norm='none'))
