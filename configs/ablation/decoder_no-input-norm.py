"""Decoder: features reach it as the encoder leaves them, blocks 3, 6 and 9 without a norm.

tools/dist_train.sh configs/ablation/decoder_no-input-norm.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(neck=dict(norm_raw=False))
