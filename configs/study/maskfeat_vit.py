"""mmpretrain's MaskFeat, small ViT on CIFAR-10.

python tools/train.py configs/study/maskfeat_vit.py --cfg-options data_root=DIR

Its config for 224 pixels in proportion: cells of half a patch, windows of one, 40 % of the patches
hidden in blocks.
"""

_base_ = './_base_.py'

custom_imports = dict(imports=['wamim_mm', 'benchmarks.study.controls'])
model = dict(
    type='MaskFeat',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='MaskFeatViT', **_base_.vit),
    neck=dict(
        type='LinearNeck',
        in_channels=192,
        out_channels=108,
        norm_cfg=None,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0),
    ),
    head=dict(type='MIMHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')),
    target_generator=dict(type='HOGOnPatches', grid=8, nbins=9, pool=2, gaussian_window=4),
)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='BEiTMaskGenerator', input_size=8, num_masking_patches=26, min_num_patches=5),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(clip_grad=dict(max_norm=0.02))
