"""UperNet on ADE20K, Swin-B from a WaMIM checkpoint, 160k iterations.

    tools/dist_train.sh configs/seg/upernet_wamim-swin-b_160k_ade20k-512x512.py 8 --amp

Checkpoint: --cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: ADE20K_ROOT=DIR or --cfg-options data_root=DIR.
Hardware: 8 GPUs, 2 images on each. mIoU: not measured, no full run was made.
Recipe: that of mmsegmentation's own UperNet with Swin-B.
"""

_base_ = ['../_base_/models/upernet.py', '../_base_/ade20k_160k.py']

checkpoint = 'work_dirs/wamim_swin-b/epoch_400.pth'

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='SwinTransformer',
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=7,
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    paramwise_cfg=dict(
        custom_keys=dict(
            relative_position_bias_table=dict(decay_mult=0.0), norm=dict(decay_mult=0.0)
        )
    ),
)
