"""Linear probing of an MFM ViT-B/16 on ImageNet-1K, 90 epochs.

The rest is as in wamim_vit-b_linear.py: MAE's recipe, taken over and not tuned.

    tools/dist_train.sh configs/cls/mfm_vit-b_linear.py 8 --amp

Checkpoint: what configs/pretrain/mfm_vit-b.py writes.
Time and accuracy: not measured.
"""

_base_ = './wamim_vit-b_linear.py'

checkpoint = 'work_dirs/mfm_vit-b/epoch_300.pth'

model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))
