"""Linear probing of a WaMIM ViT-B/16 on ImageNet-1K, 90 epochs.

    tools/dist_train.sh configs/cls/wamim_vit-b_linear.py 8 --amp
    tools/dist_test.sh configs/cls/wamim_vit-b_linear.py \
        work_dirs/wamim_vit-b_linear/epoch_90.pth 8

Checkpoint: what configs/pretrain/wamim_vit-b.py writes; another one with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train/<class> and
DIR/val/<class>.
Hardware: 8 GPUs, 2048 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The recipe is MAE's.
"""

_base_ = [
    '../_base_/imagenet_linear_data.py',
    '../_base_/schedules/lars_90e.py',
    '../_base_/runtime.py',
]

checkpoint = 'work_dirs/wamim_vit-b/epoch_400.pth'

model = dict(
    type='ImageClassifier',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        frozen_stages=12,  # all blocks, and with them the embedding and the final norm
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    # MAE's batch norm without weights. The mean of the tokens takes the place of MAE's class token,
    # which no loss of the pre-training reaches in the last block.
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=768),
    ],
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=768),
)
