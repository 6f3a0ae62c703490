"""Subbands: the details alone.

tools/dist_train.sh configs/ablation/subbands_details.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(subbands=('cH', 'cV', 'cD')))
