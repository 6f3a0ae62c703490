"""Each position normalized as MAE normalizes a patch.

python tools/train.py configs/ablation/cifar10/norm_block_vit.py --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(target_generator=dict(norm='block'))
