"""A small WaMIM Swin on the built-in scenes, the second half of `make demo`.

python tools/train.py configs/demo/wamim_swin.py
"""

_base_ = './_base_.py'

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='WaMIMSwinTransformer',
        arch=dict(embed_dims=48, depths=[2, 2, 2, 2], num_heads=[2, 4, 8, 16]),
        img_size=128,
        window_size=4,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(type='WaMIMDecoder', strides=(16, 16, 16, 32), embed_dims=128, num_heads=4),
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(2, 3, 4, 5), norm='subband'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 0.9, 1.1, 1.2)),
    init_cfg=[
        dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
