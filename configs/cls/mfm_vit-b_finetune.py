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

_base_ = [
    '../_base_/models/vit-b_classifier.py',
    '../_base_/imagenet_finetune_data.py',
    '../_base_/schedules/mfm_finetune_100e.py',
    '../_base_/runtime.py',
]

checkpoint = 'work_dirs/mfm_vit-b/epoch_300.pth'

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(init_cfg=dict(checkpoint=checkpoint)),
)
