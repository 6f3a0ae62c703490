"""ViT-B/16 with a classifier, as MAE, LocalMIM and MFM fine-tune it.

A config sets ``model.data_preprocessor`` and the checkpoint.
"""

model = dict(
    type='ImageClassifier',
    # The patches' last features are averaged, then normed. This norm (ln2) is new: pre-training
    # norms every token (ln1), which is left behind. Training reports both.
    backbone=dict(
        type='VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        final_norm=False,
        init_cfg=dict(type='Pretrained', prefix='backbone.'),
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
