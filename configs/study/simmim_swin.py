"""mmpretrain's SimMIM, small Swin on CIFAR-10.

python tools/train.py configs/study/simmim_swin.py --cfg-options data_root=DIR

Mask ratio, loss and clipping are those of its config for 192 pixels; the mask unit is one token of
the last stage, as there.
"""

_base_ = './_base_.py'

model = dict(
    type='SimMIM',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='SimMIMSwinTransformer', **_base_.swin, out_indices=(2,)),
    neck=dict(type='SimMIMLinearDecoder', in_channels=384, encoder_stride=8),
    head=dict(
        type='SimMIMHead',
        patch_size=2,
        loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3),
    ),
)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(
        type='SimMIMMaskGenerator',
        input_size=32,
        mask_patch_size=8,
        model_patch_size=2,
        mask_ratio=0.6,
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
