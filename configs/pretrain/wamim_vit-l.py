"""WaMIM, ViT-L/16 on ImageNet-1K, 800 epochs; features of blocks 6, 12, 18 and 24.

The rest is as in wamim_vit-b.py; batch, epochs and learning rate are LocalMIM's for ViT-L.

    tools/dist_train.sh configs/pretrain/wamim_vit-l.py 16 --amp

Hardware: 16 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, and the paper gives no number for this size. LocalMIM with HOG
targets fine-tunes to 85.8 % top-1.
"""

_base_ = './wamim_vit-b.py'

batch_size = 4096  # 16 x 256
base_lr = 1.5e-4  # for 256 images

model = dict(backbone=dict(arch='large', out_indices=[5, 11, 17, 23]))

optim_wrapper = dict(optimizer=dict(lr=base_lr * batch_size / 256))
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=batch_size)
