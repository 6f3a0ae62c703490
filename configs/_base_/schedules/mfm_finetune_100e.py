"""Fine-tuning as MFM's release does it: AdamW with layer decay, 100 epochs, 5 of them warm-up."""

base_lr = 2e-3  # for 512 images
batch_size = 2048  # 16 x 128

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=base_lr * batch_size / 512,
        betas=(0.9, 0.999),
        weight_decay=0.05,
        fused=True,
    ),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.8,
        flat_decay_mult=0.0,  # biases and norms
        custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
    ),
)
# As in mfm_300e.py the cosine begins in the first epoch. Its lowest learning rate is the same for
# all layers, as the release's.
param_scheduler = [
    dict(type='LinearLR', start_factor=2.5e-7 / base_lr, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=2.5e-7 * batch_size / 512,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
auto_scale_lr = dict(base_batch_size=batch_size)
