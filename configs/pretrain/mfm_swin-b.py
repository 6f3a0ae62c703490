"""MFM, Swin-B on ImageNet-1K, 300 epochs.

The rest is as in mfm_vit-b.py.

    tools/dist_train.sh configs/pretrain/mfm_swin-b.py 8 --amp

Time and accuracy: not measured, and MFM's release has no configuration of Swin.
"""

_base_ = './mfm_vit-b.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        arch='base',
        img_size=224,
        window_size=7,
        drop_path_rate=0.0,
        out_indices=(3,),
    ),
    init_cfg=[
        dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
