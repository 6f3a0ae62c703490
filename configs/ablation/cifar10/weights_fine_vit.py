"""Loss weights: in reverse, fine levels most.

python tools/train.py configs/ablation/cifar10/weights_fine_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(head=dict(loss_weights=(1.2, 1.0, 0.8)))
