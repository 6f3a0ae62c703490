"""What the other files here change one thing of: WaMIM, ViT-B/16, 100 epochs.

    tools/dist_train.sh configs/ablation/baseline.py 8 --amp

The recipe of configs/pretrain/wamim_vit-b.py with a quarter of its epochs, 10 of them warm-up.
Nothing here was run at this size.
"""

_base_ = '../pretrain/wamim_vit-b.py'

_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = 10
train_cfg = dict(max_epochs=100)
