"""WaMIM, small ViT on CIFAR-10: levels 1 to 3 from blocks 2, 4 and 6.

python tools/train.py configs/study/wamim_vit.py --cfg-options data_root=DIR

Level 2 has a coefficient for each patch, as level 4 has at 224 pixels and patches of 16.
"""

_base_ = './_base_.py'

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='WaMIMViT', **_base_.vit, out_indices=[1, 3, 5]),
    neck=dict(type='WaMIMDecoder', strides=4, embed_dims=64, num_heads=2),
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(1, 2, 3), norm='block'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 1.0, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
