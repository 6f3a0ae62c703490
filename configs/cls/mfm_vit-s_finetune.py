"""Fine-tuning of an MFM ViT-S/16 on ImageNet-1K, 200 epochs.

The recipe is that of MFM's release for ViT-S. The rest is as in mfm_vit-b_finetune.py.

    tools/dist_train.sh configs/cls/mfm_vit-s_finetune.py 16 --amp

Time and accuracy: not measured.
"""

_base_ = './mfm_vit-b_finetune.py'

checkpoint = 'work_dirs/mfm_vit-s/epoch_300.pth'

model = dict(
    backbone=dict(arch='deit-small', init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=384),
)

train_cfg = dict(max_epochs=200)
