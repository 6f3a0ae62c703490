"""Fine-tuning of an MFM ResNet-50 on ImageNet-1K, 300 epochs.

    tools/dist_train.sh configs/cls/mfm_r50_finetune-300e.py 8 --amp
    tools/dist_test.sh configs/cls/mfm_r50_finetune-300e.py \
        work_dirs/mfm_r50_finetune-300e/epoch_300.pth 8

Checkpoint: what configs/pretrain/mfm_r50.py writes; another one with
--cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train/<class> and
DIR/val/<class>.
Hardware: 8 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The recipe is mmpretrain's own file
for A2 of "ResNet strikes back" (arXiv 2110.00476), with which MFM reports 80.1 % top-1.
"""

_base_ = 'mmpretrain::resnet/resnet50_8xb256-rsb-a2-300e_in1k.py'

custom_imports = dict(imports=['wamim_mm'], allow_failed_imports=False)
checkpoint = 'work_dirs/mfm_r50/epoch_300.pth'
data_root = '{{$IMAGENET_ROOT:data/imagenet}}'

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')),
)

# The folders of configs/_base_/imagenet_finetune_data.py, whose docstring tells of other images.
loader = dict(num_workers=8, persistent_workers=True, pin_memory=True)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageNet',
        data_root=data_root,
        data_prefix='train',
        pipeline={{_base_.train_pipeline}},
    ),
    drop_last=True,
    **loader,
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageNet',
        data_root=data_root,
        data_prefix='val',
        pipeline={{_base_.test_pipeline}},
    ),
    **loader,
)
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=3))
randomness = dict(seed=0, diff_rank_seed=True)
