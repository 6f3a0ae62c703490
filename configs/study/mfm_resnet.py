"""MFM, small ResNet on CIFAR-10.

python tools/train.py configs/study/mfm_resnet.py --cfg-options data_root=DIR

The radius is 16 of 224 pixels, in proportion; low frequencies are kept in 30 % of the images, as
the paper has it for ResNet-50.
"""

_base_ = './mfm_vit.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet_CIFAR', **_base_.resnet, out_indices=(3,)),
    degradation=dict(low_pass_prob=0.3),
)
