"""Wavelet: bior2.2.

python tools/train.py configs/ablation/cifar10/wavelet_bior2-2_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(wavelet='bior2.2'))
