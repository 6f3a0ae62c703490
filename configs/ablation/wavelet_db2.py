"""Wavelet: Daubechies 2.

tools/dist_train.sh configs/ablation/wavelet_db2.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(target_generator=dict(wavelet='db2'))
