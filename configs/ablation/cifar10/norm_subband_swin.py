"""Each subband of an image normalized over its positions.

python tools/train.py configs/ablation/cifar10/norm_subband_swin.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_swin.py'

model = dict(target_generator=dict(norm='subband'))
