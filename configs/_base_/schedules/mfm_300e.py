"""Pre-training as MFM's release does it: AdamW for 300 epochs, the first 20 of them warm-up."""

base_lr = 3e-4  # for 512 images
batch_size = 2048  # 8 x 256

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=base_lr * batch_size / 512,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,
    ),
    clip_grad=dict(max_norm=3.0),
    constructor='MergedOptimWrapperConstructor',
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            pos_embed=dict(decay_mult=0.0),
            cls_token=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
        ),
    ),
)
# The cosine of timm, which the release uses, begins in the first epoch, not behind the warm-up. In
# the first 20 epochs the two factors multiply, where timm has the line alone: at most 1.1 % less.
param_scheduler = [
    dict(type='LinearLR', start_factor=2.5e-7 / base_lr, end=20, convert_to_iter_based=True),
    # Ratios, as the release scales its lowest learning rate by the batch too.
    dict(type='CosineAnnealingLR', eta_min_ratio=2.5e-6 / base_lr, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
auto_scale_lr = dict(base_batch_size=batch_size)
