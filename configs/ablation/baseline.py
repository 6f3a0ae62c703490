"""What the other files here change one thing of: WaMIM, ViT-B/16, 100 epochs.

    tools/dist_train.sh configs/ablation/baseline.py 8 --amp

The recipe of configs/pretrain/wamim_vit-b.py with a quarter of its epochs, 10 of them warm-up.
Nothing here was run at this size.
"""

_base_ = '../pretrain/wamim_vit-b.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=90, begin=10, end=100, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100)
