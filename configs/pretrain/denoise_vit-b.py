"""Denoising, ViT-B/16 on ImageNet-1K, 300 epochs.

The rest is as in mfm_vit-b.py.

    tools/dist_train.sh configs/pretrain/denoise_vit-b.py 8 --amp

Time and accuracy: not measured. MFM's release reports 82.7 % top-1 after fine-tuning.
"""

_base_ = './mfm_vit-b.py'

# All frequencies count in the loss.
model = dict(degradation=dict(_delete_=True, type='Denoise', sigma=75))
