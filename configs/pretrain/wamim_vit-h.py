"""WaMIM, ViT-H/14 on ImageNet-1K, 800 epochs; features of blocks 8, 16, 24 and 32.

The rest is as in wamim_vit-l.py. MAE gives ViT-H the batch and learning rate of ViT-L.

    tools/dist_train.sh configs/pretrain/wamim_vit-h.py 16 --amp \
        --cfg-options strategy.type=FSDP2Strategy

The strategy shards the 635 million parameters; without it they take 10 GB on every GPU, with
gradients and optimizer (docs/several-processes.md).
Hardware: 16 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, and the paper gives no number for this size.
"""

_base_ = './wamim_vit-l.py'

# 16 x 16 patches of 14 pixels. Coefficients of levels 2 to 5 lie 4, 8, 16 and 32 pixels apart, and
# none of these fits into 14. So the targets are those of the image at 256 x 256, where a patch
# covers 16 x 16 pixels: each predicts 4 x 4, 2 x 2 and 1 coefficient, or 2 x 2 patches predict one,
# as in the smaller ViTs. Level 2 ends at a quarter of the sampling rate, within what 224 x 224
# pixels hold. The encoder sees those.
model = dict(
    backbone=dict(arch='huge', patch_size=14, out_indices=[7, 15, 23, 31]),
    target_generator=dict(img_size=256),
)
