"""Wavelet: biorthogonal 2.2.

tools/dist_train.sh configs/ablation/wavelet_bior2-2.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(wavelet='bior2.2'))
