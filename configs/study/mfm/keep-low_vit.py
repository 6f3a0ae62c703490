"""Low frequencies are always kept, high ones predicted.

python tools/train.py configs/study/mfm/keep-low_vit.py --cfg-options data_root=DIR
"""

_base_ = '../mfm_vit.py'

model = dict(degradation=dict(low_pass_prob=1.0))
