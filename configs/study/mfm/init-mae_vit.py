"""The encoder's linear layers are initialized as MAE's.

python tools/train.py configs/study/mfm/init-mae_vit.py --cfg-options data_root=DIR
"""

_base_ = '../mfm_vit.py'

model = dict(
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ]
)
