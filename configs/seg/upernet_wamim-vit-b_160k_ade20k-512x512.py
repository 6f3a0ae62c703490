"""UperNet on ADE20K, ViT-B/16 from a WaMIM checkpoint, 160k iterations.

    tools/dist_train.sh configs/seg/upernet_wamim-vit-b_160k_ade20k-512x512.py 8 --amp

Checkpoint: --cfg-options model.backbone.init_cfg.checkpoint=FILE.
Data: ADE20K_ROOT=DIR or --cfg-options data_root=DIR.
Hardware: 8 GPUs, 2 images on each. mIoU: not measured, no full run was made.
Recipe: LocalMIM's for UperNet with ViT-B: learning rate, layer decay, drop path, no norm behind the
last block, windows of 512 that move by 341 in the test. Decided otherwise:
- no relative position bias and no layer scale. The encoder is the pre-trained one, which mmpretrain
  has without the former and which exports to other libraries without the latter;
- pos_embed and cls_token do not decay, as in cls/ and det/. BEiT's constructor, which LocalMIM and
  mmsegmentation use, means to exempt them, but looks for names without "backbone.";
- blocks 3, 6, 9 and 12 are read, those that pre-training decodes (LocalMIM's are 2, 4, 10 and 12).
"""

_base_ = ['../_base_/models/upernet.py', '../_base_/ade20k_160k.py']

checkpoint = 'work_dirs/wamim_vit-b/epoch_400.pth'

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    # Blocks 3, 6, 9 and 12: each of them learned to hold what a small decoder needs.
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=512,
        patch_size=16,
        drop_path_rate=0.1,
        out_indices=[2, 5, 8, 11],
        out_type='featmap',
        final_norm=False,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(
        type='Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5], norm_cfg={{_base_.norm_cfg}}
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768], channels=768),
    auxiliary_head=dict(in_channels=768),
    test_cfg=dict(mode='slide', crop_size={{_base_.crop_size}}, stride=(341, 341)),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        flat_decay_mult=0.0,  # biases and norms
        custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
    ),
)
