"""Decoder grid: one token for each of the first stage's, 2, 4 and 8 pixels.

python tools/train.py configs/ablation/cifar10/decoder_grid-2_swin.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_swin.py'

model = dict(neck=dict(strides=(2, 4, 8)))
