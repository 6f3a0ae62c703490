"""mmpretrain's MAE with a decoder of one block, small ViT on CIFAR-10.

python tools/train.py configs/study/mae-light_vit.py --cfg-options data_root=DIR

The paper's smallest decoder: what a lighter decoder alone saves.
"""

_base_ = './mae_vit.py'

model = dict(neck=dict(decoder_depth=1))
