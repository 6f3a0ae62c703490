"""Fine-tuning of an MFM ViT-B/16 on ImageNet-1K, 100 epochs.

    tools/dist_train.sh configs/cls/mfm_vit-b_finetune.py 16 --amp
    tools/dist_test.sh configs/cls/mfm_vit-b_finetune.py \
        work_dirs/mfm_vit-b_finetune/epoch_100.pth 16

Checkpoint: what configs/pretrain/mfm_vit-b.py writes; another one (SR, deblur, denoise) with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: as in wamim_vit-b_finetune.py, and so are the model and the augmentation.
Hardware: 16 GPUs, 128 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured. The recipe is that of MFM's release, whose accuracies after 300
epochs of pre-training are 83.1 % (MFM), 82.4 % (SR), 81.7 % (deblur) and 82.7 % (denoise).
"""

_base_ = './wamim_vit-b_finetune.py'

checkpoint = 'work_dirs/mfm_vit-b/epoch_300.pth'
max_epochs = 100
warmup_epochs = 5
batch_size = 2048  # 16 x 128
base_lr = 2e-3  # for 512 images

model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))

optim_wrapper = dict(
    optimizer=dict(lr=base_lr * batch_size / 512), paramwise_cfg=dict(layer_decay_rate=0.8)
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
auto_scale_lr = dict(base_batch_size=batch_size)
