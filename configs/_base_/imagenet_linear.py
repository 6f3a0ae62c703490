"""Linear probing on ImageNet-1K, MAE's recipe: crops and flips only, LARS, 90 epochs."""

_base_ = './imagenet_finetune_data.py'

max_epochs = 90
warmup_epochs = 10
batch_size = 16384  # 8 x 2048
base_lr = 0.1  # for 256 images

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='LARS', lr=base_lr * batch_size / 256, momentum=0.9, weight_decay=0.0),
    # As in MAE, the trust ratio is for matrices.
    paramwise_cfg=dict(custom_keys=dict(bias=dict(lars_exclude=True))),
)
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
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
# The running statistics of the batch norm before the classifier, the same on all GPUs.
custom_hooks = [dict(type='SyncBuffersHook')]
