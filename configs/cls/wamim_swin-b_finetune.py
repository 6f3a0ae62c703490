"""Fine-tuning of a WaMIM Swin-B on ImageNet-1K, 100 epochs.

    tools/dist_train.sh configs/cls/wamim_swin-b_finetune.py 8 --amp
    tools/dist_test.sh configs/cls/wamim_swin-b_finetune.py \
        work_dirs/wamim_swin-b_finetune/epoch_100.pth 8

Checkpoint: what configs/pretrain/wamim_swin-b.py writes; another one with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train/<class> and
DIR/val/<class>.
Hardware: 8 GPUs, 128 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The recipe is LocalMIM's, which
reaches 84.0 % top-1 with it after 400 epochs of pre-training on pixels.
"""

_base_ = [
    '../_base_/models/swin-b_classifier.py',
    '../_base_/imagenet_finetune_data.py',
    '../_base_/schedules/finetune_100e.py',
    '../_base_/runtime.py',
]

checkpoint = 'work_dirs/wamim_swin-b/epoch_400.pth'
batch_size = 1024  # 8 x 128
lr = 4e-3

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(init_cfg=dict(checkpoint=checkpoint)),
)

optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.9))
_base_.param_scheduler[-1].eta_min_ratio = 2.5e-7 / lr
auto_scale_lr = dict(base_batch_size=batch_size)
