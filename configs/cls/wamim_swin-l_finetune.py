"""Fine-tuning of a WaMIM Swin-L on ImageNet-1K, 100 epochs.

The recipe is LocalMIM's for Swin-L, taken over and not tuned. The rest is as in
wamim_swin-b_finetune.py.

    tools/dist_train.sh configs/cls/wamim_swin-l_finetune.py 16 --amp

Hardware: 16 GPUs, 128 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured. LocalMIM reaches 85.6 % top-1 after 800 epochs of pre-training on
HOG targets.
"""

_base_ = './wamim_swin-b_finetune.py'

checkpoint = 'work_dirs/wamim_swin-l/epoch_800.pth'
batch_size = 2048  # 16 x 128
lr = 2e-3

model = dict(
    backbone=dict(
        arch='large',
        window_size=14,
        stage_cfgs=[dict(), dict(), dict(), dict(window_size=7)],  # 7 x 7 tokens in the last
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint=checkpoint),
    ),
    head=dict(in_channels=1536),
)

optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.8))
_base_.param_scheduler[-1].eta_min_ratio = 2.5e-7 / lr
auto_scale_lr = dict(base_batch_size=batch_size)
