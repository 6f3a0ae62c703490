"""Loss weights: all alike.

python tools/train.py configs/ablation/cifar10/weights_equal_swin.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_swin.py'

model = dict(head=dict(loss_weights=(1.0, 1.0, 1.0)))
