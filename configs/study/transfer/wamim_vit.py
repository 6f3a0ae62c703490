"""WaMIM, small ViT on the built-in scenes, for Mask R-CNN and UperNet: the demo's, twice as long.

python -m wamim_mm.data.scenes work_dirs/demo/scenes --images 3000
python tools/train.py configs/study/transfer/wamim_vit.py
"""

_base_ = '../../demo/wamim_vit.py'

max_epochs = 16
model = dict(target_generator=dict(norm='block'))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs)
