"""mmpretrain's MAE, small ViT on the built-in scenes, for Mask R-CNN and UperNet.

python -m wamim_mm.data.scenes work_dirs/demo/scenes --images 3000
python tools/train.py configs/study/transfer/mae_vit.py

It sees as many images as WaMIM does in wamim_vit.py, which takes it longer.
"""

_base_ = './wamim_vit.py'

model = dict(
    _delete_=True,
    type='MAE',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='MAEViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
        img_size=128,
        patch_size=16,
        mask_ratio=0.75,
    ),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=64,
        patch_size=16,
        embed_dim=192,
        decoder_embed_dim=128,
        decoder_depth=4,
        decoder_num_heads=4,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
    init_cfg={{_base_.model.init_cfg}},
)
