"""Normalization: over the channels at a position, as MAE's normalized pixels.

tools/dist_train.sh configs/ablation/norm_token.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(norm='token'))
