"""UperNet on the built-in scenes, from a small ViT; the rest is as in the demo's.

python tools/train.py configs/study/transfer/upernet_vit.py \
    --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/wamim_vit/epoch_16.pth

From scratch: --cfg-options model.backbone.init_cfg=None.
"""

_base_ = '../../demo/upernet_swin.py'

max_iters = 400

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
        img_size=128,
        patch_size=16,
        out_indices=[1, 2, 3, 5],
        out_type='featmap',
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/wamim_vit/epoch_16.pth', prefix='backbone.'
        ),
    ),
    neck=dict(
        type='Feature2Pyramid', embed_dim=192, rescales=[4, 2, 1, 0.5], norm_cfg={{_base_.norm_cfg}}
    ),
    decode_head=dict(in_channels=[192, 192, 192, 192], in_index=[0, 1, 2, 3]),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, begin=0, end=20, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=20, end=max_iters, T_max=max_iters - 20, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
