"""Fine-tuning of a WaMIM Swin-L on ImageNet-1K, 100 epochs.

The recipe is LocalMIM's for Swin-L, taken over and not tuned: there the windows are 14 x 14, here
7 x 7 as in pre-training. The rest is as in wamim_swin-b_finetune.py.

    tools/dist_train.sh configs/cls/wamim_swin-l_finetune.py 16 --amp

Hardware: 16 GPUs, 128 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured. LocalMIM reaches 85.6 % top-1 after 800 epochs of pre-training on
HOG targets.
"""

_base_ = './wamim_swin-b_finetune.py'

checkpoint = 'work_dirs/wamim_swin-l/epoch_400.pth'
batch_size = 2048  # 16 x 128

model = dict(
    backbone=dict(arch='large', drop_path_rate=0.3, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=1536),
)

optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(layer_decay_rate=0.8))
auto_scale_lr = dict(base_batch_size=batch_size)
