"""WaMIM, Swin-B on ImageNet-1K, 400 epochs.

    tools/dist_train.sh configs/pretrain/wamim_swin-b.py 8 --amp

Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train.
Hardware: 8 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. The closest published relative,
LocalMIM with HOG targets, fine-tunes to 84.1 % top-1 after 400 epochs (see docs/method.md).
"""

# AdamW for 400 epochs, 40 of them warm-up, weight decay 0.05.
_base_ = [
    '../_base_/pretrain_data.py',
    '../_base_/schedules/adamw_400e.py',
    '../_base_/runtime.py',
]

batch_size = 2048  # 8 x 256
base_lr = 1e-4  # for 256 images

model = dict(
    type='WaMIM',
    mask_ratio=0.75,
    data_preprocessor={{_base_.data_preprocessor}},
    # The encoder sees the visible quarter of the image, in units of 32 x 32 pixels; the last block
    # of each stage (2, 4, 22 and 24) is decoded.
    backbone=dict(
        type='WaMIMSwinTransformer',
        arch='base',
        img_size=224,
        window_size=7,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2, 3),
    ),
    # One small decoder for each feature. The first two work on 14 x 14 tokens, not on 56 x 56 and
    # 28 x 28: global attention over stage 1's grid costs more than the whole visible-only encoder.
    neck=dict(
        type='WaMIMDecoder', strides=(16, 16, 16, 32), embed_dims=128, num_heads=4, num_layers=1
    ),
    # Fine levels are predicted from shallow features, coarse levels from deep ones.
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
auto_scale_lr = dict(base_batch_size=batch_size)
