"""Linear probing as MAE does it: LARS, 90 epochs, 10 of them warm-up."""

batch_size = 16384  # 8 x 2048
base_lr = 0.1  # for 256 images

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='LARS', lr=base_lr * batch_size / 256, momentum=0.9, weight_decay=0.0),
    # As in MAE, the trust ratio is for matrices.
    paramwise_cfg=dict(custom_keys=dict(bias=dict(lars_exclude=True))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90)
auto_scale_lr = dict(base_batch_size=batch_size)
# The running statistics of the batch norm before the classifier, the same on all GPUs.
custom_hooks = [dict(type='SyncBuffersHook')]
