"""Fine-tuning of an MFM ResNet-50 on ImageNet-1K, 100 epochs at 160 pixels, tested at 224.

    tools/dist_train.sh configs/cls/mfm_r50_finetune-100e.py 8 --amp

The recipe is A3 of "ResNet strikes back" (arXiv 2110.00476); the rest is as in
mfm_r50_finetune-300e.py.
Time and accuracy: not measured. MFM's release reports 78.5 % top-1 (MFM), 77.9 % (SR), 78.0 %
(deblur) and 77.5 % (denoise) after 300 epochs of pre-training.
"""

_base_ = './mfm_r50_finetune-300e.py'

# A3 differs from A2 in these: 160 pixels, RandAugment of magnitude 6, no repeated augmentation, no
# dropped paths, a learning rate of 8e-3, 100 epochs. (mmpretrain's own A3 trains at 224 pixels.)
_base_.train_pipeline[1].scale = 160
_base_.train_pipeline[3].magnitude_level = 6
train_dataloader = dict(
    sampler=dict(type='DefaultSampler'), dataset=dict(pipeline=_base_.train_pipeline)
)

model = dict(backbone=dict(drop_path_rate=0.0))

optim_wrapper = dict(optimizer=dict(lr=8e-3))
_base_.param_scheduler[-1].update(T_max=95, end=100)
train_cfg = dict(max_epochs=100)
