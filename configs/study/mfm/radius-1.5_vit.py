"""A smaller circle: 9 frequencies inside it.

python tools/train.py configs/study/mfm/radius-1.5_vit.py --cfg-options data_root=DIR
"""

_base_ = '../mfm_vit.py'

model = dict(degradation=dict(radius=1.5))
