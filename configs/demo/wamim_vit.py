"""A small WaMIM ViT on the built-in scenes, a part of `make demo`.

python tools/train.py configs/demo/wamim_vit.py
"""

_base_ = './_base_.py'

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='WaMIMViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
        img_size=128,
        patch_size=16,
        out_indices=[1, 2, 3, 5],
    ),
    neck=dict(type='WaMIMDecoder', strides=16, embed_dims=64, num_heads=2),
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(2, 3, 4, 5), norm='subband'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 0.9, 1.1, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
