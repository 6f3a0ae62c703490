"""Normalization: zero mean and unit variance for every image, level, subband and colour.

tools/dist_train.sh configs/ablation/norm_subband.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(norm='subband'))
