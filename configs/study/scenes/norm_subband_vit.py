"""Normalization: by subband.

python tools/train.py configs/study/scenes/norm_subband_vit.py \
    --cfg-options data_root=work_dirs/scenes
"""

_base_ = './wamim_vit.py'

model = dict(target_generator=dict(norm='subband'))
