"""Decoders: features of earlier blocks as they are, without a norm.

    python tools/train.py configs/ablation/cifar10/decoder_no-input-norm_vit.py \
        --cfg-options data_root=DIR
"""

_base_ = '../../study/wamim_vit.py'

model = dict(neck=dict(norm_raw=False))
