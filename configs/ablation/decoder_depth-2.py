"""Decoder: two blocks.

tools/dist_train.sh configs/ablation/decoder_depth-2.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(neck=dict(num_layers=2))
