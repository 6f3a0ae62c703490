"""Wavelet: coif1.

python tools/train.py configs/ablation/cifar10/wavelet_coif1_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(wavelet='coif1'))
