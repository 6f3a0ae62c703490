"""A small MFM ResNet on the built-in scenes, a part of `make demo`.

python tools/train.py configs/demo/mfm_r18.py
"""

_base_ = './_base_.py'

max_epochs = 4

model = dict(
    type='MFM',
    img_size=128,
    data_preprocessor={{_base_.data_preprocessor}},
    # The radius is 16 of 224 pixels in proportion. Low frequencies are always those to predict: the
    # loss is a mean over all removed frequencies, of which low-pass images have far more, and four
    # epochs are too short to learn those from.
    degradation=dict(type='FrequencyFilter', radius=9, low_pass_prob=0.0, per='sample'),
    # Half of ResNet-18's width; the probe reads the last three stages, MFM the last.
    backbone=dict(
        type='ResNet', depth=18, stem_channels=32, base_channels=32, out_indices=(1, 2, 3)
    ),
    head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', gamma=1.0)),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - 1,
        begin=1,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
