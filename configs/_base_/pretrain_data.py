"""Images for pre-training: any folder of images, sub-folders included; labels are not used.

``data_root`` comes from the environment variable IMAGENET_ROOT or from
``--cfg-options data_root=DIR``; the images lie in ``data_root/train``.
"""

data_root = '{{$IMAGENET_ROOT:data/imagenet}}'
data_preprocessor = dict(
    type='PretrainDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
train_pipeline = [
    # mmpretrain's LoadImageFromFile and RandomResizedCrop in one.
    dict(
        type='LoadRandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5),
    # A number for each sample, from which its mask (WaMIM) or degradation (MFM) follows.
    dict(type='RandomDraw'),
    dict(type='PackInputs', algorithm_keys=['draw']),
]
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root=data_root,
        data_prefix='train',
        with_label=False,
        pipeline=train_pipeline,
    ),
)
# Masks and window groups are made by the loader's workers.
custom_hooks = [dict(type='MaskingHook')]
