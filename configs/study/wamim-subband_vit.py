"""WaMIM with coefficients normalized by subband, small ViT on CIFAR-10; the study began with it.

python tools/train.py configs/study/wamim-subband_vit.py --cfg-options data_root=DIR
"""

_base_ = './wamim_vit.py'

model = dict(target_generator=dict(norm='subband'))
