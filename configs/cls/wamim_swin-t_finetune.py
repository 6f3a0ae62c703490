"""Fine-tuning of a WaMIM Swin-T on ImageNet-1K, 100 epochs.

The recipe is that of wamim_swin-b_finetune.py, taken over and not tuned.

    tools/dist_train.sh configs/cls/wamim_swin-t_finetune.py 8 --amp

Time and accuracy: not measured.
"""

_base_ = './wamim_swin-b_finetune.py'

checkpoint = 'work_dirs/wamim_swin-t/epoch_400.pth'

model = dict(
    backbone=dict(arch='tiny', init_cfg=dict(checkpoint=checkpoint)), head=dict(in_channels=768)
)
