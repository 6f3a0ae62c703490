"""Fine-tuning of a WaMIM ViT-L/16 on ImageNet-1K, 50 epochs.

The recipe is LocalMIM's for ViT-L, taken over and not tuned. The rest is as in
wamim_vit-b_finetune.py.

    tools/dist_train.sh configs/cls/wamim_vit-l_finetune.py 8 --amp

Time and accuracy: not measured. LocalMIM reaches 85.8 % top-1 with this recipe after 800 epochs of
pre-training on HOG targets.
"""

_base_ = './wamim_vit-b_finetune.py'

checkpoint = 'work_dirs/wamim_vit-l/epoch_800.pth'
lr = 3e-3

model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=1024),
)

optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.75))
_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = 5
_base_.param_scheduler[-1].eta_min_ratio = 1e-6 / lr
train_cfg = dict(max_epochs=50)
