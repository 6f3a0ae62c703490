"""Linear probing of a WaMIM Swin-B on ImageNet-1K, 90 epochs.

    tools/dist_train.sh configs/cls/wamim_swin-b_linear.py 8 --amp
    tools/dist_test.sh configs/cls/wamim_swin-b_linear.py \
        work_dirs/wamim_swin-b_linear/epoch_90.pth 8

Checkpoint: what configs/pretrain/wamim_swin-b.py writes; another one with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train/<class> and
DIR/val/<class>.
Hardware: 8 GPUs, 2048 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The recipe is MAE's for ViT, taken
over and not tuned.
"""

_base_ = [
    '../_base_/imagenet_linear_data.py',
    '../_base_/schedules/lars_90e.py',
    '../_base_/runtime.py',
]

checkpoint = 'work_dirs/wamim_swin-b/epoch_400.pth'

model = dict(
    type='ImageClassifier',
    data_preprocessor={{_base_.data_preprocessor}},
    # The classifier reads the last stage: norm0 to norm2 stay behind in the checkpoint.
    backbone=dict(
        type='SwinTransformer',
        arch='base',
        img_size=224,
        window_size=7,
        drop_path_rate=0.0,
        out_indices=(3,),
        frozen_stages=3,  # all stages, the embedding and the last norm
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=1024),
    ],
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=1024),
)
