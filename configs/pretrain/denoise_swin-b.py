"""Denoising, Swin-B on ImageNet-1K, 300 epochs.

The rest is as in mfm_swin-b.py.

    tools/dist_train.sh configs/pretrain/denoise_swin-b.py 8 --amp

Time and accuracy: not measured, and MFM's release has no configuration of Swin.
"""

_base_ = './mfm_swin-b.py'

# All frequencies count in the loss.
model = dict(degradation=dict(_delete_=True, type='Denoise', sigma=75))
