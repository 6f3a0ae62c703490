"""A small MFM ResNet on the built-in scenes, a part of `make demo`.

python tools/train.py configs/demo/mfm_r18.py
"""

_base_ = './_base_.py'

model = dict(
    type='MFM',
    img_size=128,
    data_preprocessor={{_base_.data_preprocessor}},
    # 16 of 224 pixels, in proportion.
    corruption=dict(type='FrequencyFilter', radius=9, low_pass_prob=0.3, per='sample'),
    # Half of ResNet-18's width.
    backbone=dict(type='ResNet', depth=18, stem_channels=32, base_channels=32, out_indices=(3,)),
    head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', gamma=1.0)),
)
