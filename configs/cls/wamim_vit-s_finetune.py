"""Fine-tuning of a WaMIM ViT-S/16 on ImageNet-1K, 200 epochs.

    tools/dist_train.sh configs/cls/wamim_vit-s_finetune.py 16 --amp

The recipe is that of mfm_vit-s_finetune.py, which MFM's authors published for a ViT-S, taken over
and not tuned: LocalMIM has no model of this size.
Time and accuracy: not measured.
"""

_base_ = './mfm_vit-s_finetune.py'

checkpoint = 'work_dirs/wamim_vit-s/epoch_400.pth'

model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))
