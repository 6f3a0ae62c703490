"""Fine-tuning of an MFM ViT-S/16 on ImageNet-1K, 200 epochs.

The recipe is that of MFM's release for ViT-S. The rest is as in mfm_vit-b_finetune.py.

    tools/dist_train.sh configs/cls/mfm_vit-s_finetune.py 16 --amp

Time and accuracy: not measured.
"""

_base_ = './mfm_vit-b_finetune.py'

checkpoint = 'work_dirs/mfm_vit-s/epoch_300.pth'
max_epochs = 200
warmup_epochs = 5
base_lr = 2e-3  # for 512 images

model = dict(
    backbone=dict(arch='deit-small', init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=384),
)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=2.5e-7 / base_lr,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - warmup_epochs,
        eta_min_ratio=2.5e-7 / base_lr,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
