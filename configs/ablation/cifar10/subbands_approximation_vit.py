"""Subbands: approximations alone.

    python tools/train.py configs/ablation/cifar10/subbands_approximation_vit.py \
        --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(subbands=('cA',)))
