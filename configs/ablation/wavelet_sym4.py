"""Wavelet: Symlet 4.

tools/dist_train.sh configs/ablation/wavelet_sym4.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(wavelet='sym4'))
