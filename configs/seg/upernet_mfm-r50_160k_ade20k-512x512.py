"""UperNet on ADE20K, ResNet-50 from an MFM checkpoint, 160k iterations.

    tools/dist_train.sh configs/seg/upernet_mfm-r50_160k_ade20k-512x512.py 8 --amp

Checkpoint: what configs/pretrain/mfm_r50.py writes; another one (SR, deblur, denoise) with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: ADE20K_ROOT=DIR or --cfg-options data_root=DIR.
Hardware: 8 GPUs, 2 images on each. mIoU: not measured, no full run was made.
Recipe: that of mmsegmentation's own UperNet with ResNet-50, whose stem of three convolutions gives
way to the 7 x 7 one of the pre-trained encoder.
"""

_base_ = '../_base_/ade20k_160k.py'

checkpoint = 'work_dirs/mfm_r50/epoch_300.pth'
norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    type='EncoderDecoder',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    decode_head=dict(
        type='UPerHead',
        in_channels=[256, 512, 1024, 2048],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
    ),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, end={{_base_.max_iters}}, by_epoch=False)
]
