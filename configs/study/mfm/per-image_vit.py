"""Every image counts alike, however many frequencies it lost.

python tools/train.py configs/study/mfm/per-image_vit.py --cfg-options data_root=DIR
"""

_base_ = '../mfm_vit.py'

custom_imports = dict(imports=['wamim_mm', 'benchmarks.study.controls'])
model = dict(head=dict(loss=dict(type='PerImageFrequencyLoss')))
