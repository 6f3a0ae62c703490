"""Fine-tuning of an MFM Swin-B on ImageNet-1K, 100 epochs.

The recipe is that of wamim_swin-b_finetune.py, taken over and not tuned: MFM's release fine-tunes
ViT and ResNet only.

    tools/dist_train.sh configs/cls/mfm_swin-b_finetune.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './wamim_swin-b_finetune.py'

checkpoint = 'work_dirs/mfm_swin-b/epoch_300.pth'

model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))
