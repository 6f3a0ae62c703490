"""High frequencies are always kept, low ones predicted.

python tools/train.py configs/study/mfm/keep-high_vit.py --cfg-options data_root=DIR
"""

_base_ = '../mfm_vit.py'

model = dict(degradation=dict(low_pass_prob=0.0))
