"""MFM, small Swin on CIFAR-10.

python tools/train.py configs/study/mfm_swin.py --cfg-options data_root=DIR

The radius is 16 of 224 pixels, in proportion.
"""

_base_ = './mfm_vit.py'

model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', **_base_.swin, out_indices=(2,)),
)
