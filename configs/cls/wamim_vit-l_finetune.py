"""Fine-tuning of a WaMIM ViT-L/16 on ImageNet-1K, 50 epochs.

The recipe is LocalMIM's for ViT-L, taken over and not tuned. The rest is as in
wamim_vit-b_finetune.py.

    tools/dist_train.sh configs/cls/wamim_vit-l_finetune.py 8 --amp

Time and accuracy: not measured. LocalMIM reaches 85.8 % top-1 with this recipe after 800 epochs of
pre-training on HOG targets.
"""

_base_ = './wamim_vit-b_finetune.py'

checkpoint = 'work_dirs/wamim_vit-l/epoch_400.pth'
max_epochs = 50
warmup_epochs = 5

model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=1024),
)

optim_wrapper = dict(optimizer=dict(lr=3e-3), paramwise_cfg=dict(layer_decay_rate=0.75))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - warmup_epochs,
        eta_min_ratio=1e-6 / 3e-3,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
