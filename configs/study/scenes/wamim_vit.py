"""WaMIM, small ViT on 4,800 built-in scenes, beside the others of this folder.

python -m wamim_mm.data.scenes work_dirs/scenes --images 6000
python tools/train.py configs/study/scenes/wamim_vit.py --cfg-options data_root=work_dirs/scenes

As many images seen as in the transfer to detection and segmentation.
"""

_base_ = '../transfer/wamim_vit.py'

train_cfg = dict(max_epochs=8)
