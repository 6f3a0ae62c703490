"""WaMIM, small Swin on CIFAR-10: levels 1 to 3 from the three stages.

python tools/train.py configs/study/wamim_swin.py --cfg-options data_root=DIR

A stage's stride is that of its level, as in Swin-B. A mask unit is 8 pixels, one token of the last
stage.
"""

_base_ = './_base_.py'

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='WaMIMSwinTransformer', **_base_.swin, out_indices=(0, 1, 2)),
    neck=dict(type='WaMIMDecoder', strides=(4, 4, 8), embed_dims=64, num_heads=2),
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(1, 2, 3), norm='subband'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 1.0, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
