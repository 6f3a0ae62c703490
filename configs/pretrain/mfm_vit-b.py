"""MFM, ViT-B/16 on ImageNet-1K, 300 epochs.

    tools/dist_train.sh configs/pretrain/mfm_vit-b.py 8 --amp

Data: IMAGENET_ROOT=DIR or --cfg-options data_root=DIR, with the images in DIR/train.
Hardware: 8 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, no full ImageNet run was made. MFM's release reports 83.1 % top-1
after fine-tuning. Its recipe is followed, the initialization of the encoder included.
"""

# AdamW for 300 epochs, 20 of them warm-up, learning rate 1.2e-3 at a batch of 2048.
_base_ = [
    '../_base_/pretrain_data.py',
    '../_base_/schedules/mfm_300e.py',
    '../_base_/runtime.py',
]

model = dict(
    type='MFM',
    img_size=224,
    data_preprocessor={{_base_.data_preprocessor}},
    # Frequencies inside or outside the circle are removed, drawn for every image.
    degradation=dict(type='FrequencyFilter', radius=16, low_pass_prob=0.5, per='sample'),
    # The whole image is encoded: no mask token, no token dropped.
    backbone=dict(
        type='VisionTransformer', arch='base', img_size=224, patch_size=16, out_type='featmap'
    ),
    # Only removed frequencies count.
    head=dict(type='MFMHead', loss=dict(type='FrequencyLoss', gamma=1.0)),
)
