"""UperNet on ADE20K, ResNet-50 from an MFM checkpoint, 160k iterations.

    tools/dist_train.sh configs/seg/upernet_mfm-r50_160k_ade20k-512x512.py 8 --amp

Checkpoint: what configs/pretrain/mfm_r50.py writes; another one (SR, deblur, denoise) with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: ADE20K_ROOT=DIR or --cfg-options data_root=DIR.
Hardware: 8 GPUs, 2 images on each. mIoU: not measured, no full run was made.
Recipe: that of mmsegmentation's own UperNet with ResNet-50, whose stem of three convolutions gives
way to the 7 x 7 one of the pre-trained encoder.
"""

_base_ = ['../_base_/models/upernet.py', '../_base_/ade20k_160k.py']

checkpoint = 'work_dirs/mfm_r50/epoch_300.pth'

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg={{_base_.norm_cfg}},
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, end={{_base_.max_iters}}, by_epoch=False)
]
