"""WaMIM, ViT-B/16 on ImageNet-1K, 400 epochs.

    tools/dist_train.sh configs/pretrain/wamim_vit-b.py 8 --amp

Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train.
Hardware: 8 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The closest published relative,
LocalMIM with HOG targets, fine-tunes to 84.0 % top-1 after 1600 epochs (see docs/method.md).
"""

# AdamW for 400 epochs, 40 of them warm-up, weight decay 0.05.
_base_ = [
    '../_base_/pretrain_data.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/runtime.py',
]

batch_size = 2048  # 8 x 256
base_lr = 2e-4  # for 256 images

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    # The encoder sees the visible quarter of the patches; blocks 3, 6, 9 and 12 are decoded.
    backbone=dict(
        type='WaMIMViT', arch='base', img_size=224, patch_size=16, out_indices=[2, 5, 8, 11]
    ),
    # One small decoder for each feature, on the grid of the patches. Features that the encoder has
    # not normed (blocks 3, 6 and 9) get a norm of their own on the way in.
    neck=dict(type='WaMIMDecoder', strides=16, embed_dims=256, num_heads=8, num_layers=1),
    # Fine levels are predicted from shallow features, coarse levels from deep ones. Normalized by
    # block small ViTs fine-tuned better than by subband (docs/study.md).
    target_generator=dict(
        type='WaveletTargetGenerator', wavelet='haar', levels=(2, 3, 4, 5), norm='block'
    ),
    head=dict(type='WaMIMHead', loss_weights=(0.8, 0.9, 1.1, 1.2)),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

optim_wrapper = dict(optimizer=dict(lr=base_lr * batch_size / 256))
_base_.param_scheduler[-1].eta_min = 1e-6  # LocalMIM's for ViT; its Swin has 0
auto_scale_lr = dict(base_batch_size=batch_size)
