"""MFM, small ResNet on CIFAR-10.

python tools/train.py configs/study/mfm_resnet.py --cfg-options data_root=DIR

The radius is 16 of 224 pixels, in proportion; low frequencies are kept in 30 % of the images, as
the paper has it for ResNet-50.
"""

_base_ = './_base_.py'

model = dict(
    type='MFM',
    img_size=32,
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='ResNet_CIFAR', **_base_.resnet, out_indices=(3,)),
    degradation=dict(type='FrequencyFilter', radius=2.3, low_pass_prob=0.3, per='sample'),
    head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', gamma=1.0)),
)
optim_wrapper = dict(clip_grad=dict(max_norm=3.0))
