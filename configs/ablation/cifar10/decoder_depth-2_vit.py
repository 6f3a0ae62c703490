"""Decoders: two blocks.

python tools/train.py configs/ablation/cifar10/decoder_depth-2_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(neck=dict(num_layers=2))
