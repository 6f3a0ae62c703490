"""A small WaMIM Swin on the built-in scenes, a part of `make demo`.

python tools/train.py configs/demo/wamim_swin.py
"""

_base_ = './_base_.py'

# Three stages rather than four: mask units of 16 pixels, a quarter of which tell more of a scene of
# 128 x 128 than four units of 32.

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='WaMIMSwinTransformer',
        arch=dict(embed_dims=48, depths=[1, 3, 2], num_heads=[2, 4, 8]),
        img_size=128,
        patch_size=4,
        window_size=8,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2),
    ),
    neck=dict(type='WaMIMDecoder', strides=16, embed_dims=64, num_heads=2),
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(3, 4, 5), norm='subband'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.9, 1.1, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
