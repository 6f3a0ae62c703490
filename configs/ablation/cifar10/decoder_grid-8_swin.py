"""Decoder grid: 8 pixels a token for all levels.

python tools/train.py configs/ablation/cifar10/decoder_grid-8_swin.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_swin.py'

model = dict(neck=dict(strides=8))
