"""WaMIM with coefficients normalized by subband, small Swin on CIFAR-10; the study began with it.

python tools/train.py configs/study/wamim-subband_swin.py --cfg-options data_root=DIR
"""

_base_ = './wamim_swin.py'

model = dict(target_generator=dict(norm='subband'))
