"""Pre-training as LocalMIM does it: AdamW for 400 epochs, the first 40 of them warm-up.

A config sets ``optim_wrapper.optimizer.lr``. Both parts of ``param_scheduler`` are adjusted by
iteration, and the cosine falls to zero in the last epoch. For a run of another length,
``--cfg-options train_cfg.max_epochs=N`` is enough: the warm-up stays a tenth of it.
"""

optim_wrapper = dict(
    type='OptimWrapper',
    # fused=True, here and in every recipe of ours, takes the same steps in less time.
    optimizer=dict(type='AdamW', betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    constructor='MergedOptimWrapperConstructor',
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            mask_token=dict(decay_mult=0.0),
            cls_token=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=40, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=400)
