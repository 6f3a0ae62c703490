"""Mask R-CNN with a simple feature pyramid on an MFM ViT-B (ViTDet), COCO, 100 epochs.

    tools/dist_train.sh configs/det/mask-rcnn_mfm-vit-b_sfp_coco.py 8 --amp

Checkpoint: what configs/pretrain/mfm_vit-b.py writes; another one (SR, deblur, denoise) with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
The rest is as in mask-rcnn_wamim-vit-b_sfp_coco.py. Time and AP: not measured.
"""

_base_ = './mask-rcnn_wamim-vit-b_sfp_coco.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/mfm_vit-b/epoch_300.pth')))
