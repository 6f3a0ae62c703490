"""Target levels, the two coarsest, and decoders of 128 channels.

python tools/train.py configs/ablation/cifar10/combined_levels_2-3_decoder_dim-128_vit.py \
    --cfg-options data_root=DIR

Two changes that gained most by themselves after one epoch.
"""

_base_ = './levels_2-3_vit.py'

model = dict(neck=dict(embed_dims=128, num_heads=4))
