"""Wavelet: sym4.

python tools/train.py configs/ablation/cifar10/wavelet_sym4_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(wavelet='sym4'))
