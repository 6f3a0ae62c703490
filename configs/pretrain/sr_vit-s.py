"""Super-resolution, ViT-S/16 on ImageNet-1K, 300 epochs.

The rest is as in mfm_vit-s.py.

    tools/dist_train.sh configs/pretrain/sr_vit-s.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './mfm_vit-s.py'

# All frequencies count in the loss.
model = dict(degradation=dict(_delete_=True, type='SuperResolution', scale=8))
