"""Normalization over the channels of a position.

python tools/train.py configs/ablation/cifar10/norm_token_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(norm='token'))
