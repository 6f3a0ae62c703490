"""Mask R-CNN with FPN on an MFM ResNet-50, COCO, 12 epochs.

    tools/dist_train.sh configs/det/mask-rcnn_mfm-r50_fpn_1x_coco.py 8 --amp

Checkpoint: what configs/pretrain/mfm_r50.py writes; another one (SR, deblur, denoise) with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: COCO_ROOT=DIR or --cfg-options data_root=DIR, with annotations, train2017 and val2017 in DIR.
Hardware: 8 GPUs, 2 images on each; on others keep the batch or add --auto-scale-lr.
Time and AP: not measured, no COCO run was made. The recipe is mmdet's 1x schedule, with the
backbone trained whole and batch norms synchronized, as MoCo (arXiv 1911.05722, section 4.2) does
with self-supervised ResNets.
"""

_base_ = '../_base_/coco_mask_rcnn.py'

checkpoint = 'work_dirs/mfm_r50/epoch_300.pth'
norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    # Batch norms of self-supervised encoders are not scaled as a classifier's: they learn again.
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.', _delete_=True),
    ),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
