"""A small MFM ResNet on CIFAR-10: 32 x 32 pixels, a feature map of stride 8.

    python tools/train.py configs/demo/mfm_r18_cifar10.py --cfg-options data_root=DIR
    python tools/linear_probe.py configs/demo/mfm_r18_cifar10.py \
        work_dirs/mfm_r18_cifar10/epoch_1.pth --data-root DIR --val test

DIR holds the images as files, as for wamim_vit_cifar10.py. Curves and numbers of such a run:
docs/real-images.md.
"""

_base_ = './wamim_vit_cifar10.py'

model = dict(
    _delete_=True,
    type='MFM',
    img_size=32,
    data_preprocessor={{_base_.data_preprocessor}},
    # The radius is 16 of 224 pixels, in proportion; low frequencies are always those to predict, as
    # in mfm_r18.py.
    degradation=dict(type='FrequencyFilter', radius=2.3, low_pass_prob=0.0, per='sample'),
    # The probe reads the last three stages, MFM the last.
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=32, base_channels=32, out_indices=(1, 2, 3)
    ),
    head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', gamma=1.0)),
)
