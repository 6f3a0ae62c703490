"""Subbands: details alone.

python tools/train.py configs/ablation/cifar10/subbands_details_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(subbands=('cH', 'cV', 'cD')))
