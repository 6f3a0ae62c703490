"""Decoder: twice as wide.

tools/dist_train.sh configs/ablation/decoder_dim-512.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(neck=dict(embed_dims=512, num_heads=16))
