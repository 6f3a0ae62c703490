"""Swin-B with a classifier, for fine-tuning.

A config sets ``model.data_preprocessor`` and the checkpoint.
"""

model = dict(
    type='ImageClassifier',
    # The classifier reads the last stage. The norms of the other outputs, norm0 to norm2, served
    # the decoders of the pre-training and stay behind in its checkpoint. Swin's own order, norm and
    # then mean, is kept with the pre-trained norm3; LocalMIM pools first and norms anew.
    backbone=dict(
        type='SwinTransformer',
        arch='base',
        img_size=224,
        window_size=7,
        drop_path_rate=0.1,
        out_indices=(3,),
        init_cfg=dict(type='Pretrained', prefix='backbone.'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
