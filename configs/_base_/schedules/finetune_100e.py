"""Fine-tuning as LocalMIM does it: AdamW with layer decay, 100 epochs, 20 of them warm-up.

A config sets ``optim_wrapper.optimizer.lr``, ``paramwise_cfg.layer_decay_rate`` and the cosine's
``eta_min_ratio``. That is a ratio since LocalMIM multiplies the whole schedule, its lowest learning
rate included, by a layer's factor: one floor for all would lie above the rates of the first layers.
For a run of another length, ``--cfg-options train_cfg.max_epochs=N`` is enough: the warm-up stays a
fifth of it.
"""

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        flat_decay_mult=0.0,  # biases and norms
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=20, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
