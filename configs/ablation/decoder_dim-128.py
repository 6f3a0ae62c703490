"""Decoder: half as wide.

tools/dist_train.sh configs/ablation/decoder_dim-128.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(neck=dict(embed_dims=128, num_heads=4))
