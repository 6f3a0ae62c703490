"""Decoders: 32 channels.

python tools/train.py configs/ablation/cifar10/decoder_dim-32_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(neck=dict(embed_dims=32))
