"""UperNet on ADE20K, ViT-B/16 from an MFM checkpoint, 160k iterations.

    tools/dist_train.sh configs/seg/upernet_mfm-vit-b_160k_ade20k-512x512.py 8 --amp

Checkpoint: what configs/pretrain/mfm_vit-b.py writes; another one (SR, deblur, denoise) with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Recipe: that of mmsegmentation's own UperNet with MAE's ViT-B, learning rate and blocks included, as
MFM releases none. It shares all else with LocalMIM's. What is decided otherwise, and the rest, is
as in upernet_wamim-vit-b_160k_ade20k-512x512.py. mIoU: not measured.
"""

_base_ = './upernet_wamim-vit-b_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        # Blocks 4, 6, 8 and 12, as MAE's UperNet: only the last one was trained to be read.
        out_indices=[3, 5, 7, 11],
        init_cfg=dict(checkpoint='work_dirs/mfm_vit-b/epoch_300.pth'),
    )
)

optim_wrapper = dict(optimizer=dict(lr=1e-4))
