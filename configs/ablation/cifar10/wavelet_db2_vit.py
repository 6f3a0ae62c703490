"""Wavelet: db2.

python tools/train.py configs/ablation/cifar10/wavelet_db2_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(wavelet='db2'))
