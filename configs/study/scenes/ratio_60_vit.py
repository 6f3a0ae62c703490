"""Mask ratio: 60 % of the patches hidden.

python tools/train.py configs/study/scenes/ratio_60_vit.py \
    --cfg-options data_root=work_dirs/scenes
"""

_base_ = './wamim_vit.py'

model = dict(mask_ratio=0.6)
