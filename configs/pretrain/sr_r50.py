"""Super-resolution, ResNet-50 on ImageNet-1K, 300 epochs.

The rest is as in mfm_r50.py.

    tools/dist_train.sh configs/pretrain/sr_r50.py 8 --amp

Time and accuracy: not measured. MFM's release reports 77.9 % top-1 after fine-tuning.
"""

_base_ = './mfm_r50.py'

# All frequencies count in the loss.
model = dict(degradation=dict(_delete_=True, type='SuperResolution', scale=8))
