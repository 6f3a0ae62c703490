"""Wavelet: db2.

python tools/train.py configs/study/scenes/wavelet_db2_vit.py \
    --cfg-options data_root=work_dirs/scenes
"""

_base_ = './wamim_vit.py'

model = dict(target_generator=dict(wavelet='db2'))
