"""WaMIM, Swin-L on ImageNet-1K, 800 epochs; features of blocks 2, 4, 22 and 24.

The rest is as in wamim_swin-b.py; batch, epochs and windows are LocalMIM's for Swin-L.

    tools/dist_train.sh configs/pretrain/wamim_swin-l.py 16 --amp

Hardware: 16 GPUs, 256 images on each; on others keep the batch or add --auto-scale-lr.
Time and accuracy: not measured, and the paper gives no number for this size. LocalMIM with HOG
targets fine-tunes to 85.6 % top-1.
"""

_base_ = './wamim_swin-b.py'

batch_size = 4096  # 16 x 256
base_lr = 1e-4  # for 256 images

# Windows of 14; the last stage has 7 x 7 tokens, which are one window.
model = dict(
    backbone=dict(
        arch='large', window_size=14, stage_cfgs=[dict(), dict(), dict(), dict(window_size=7)]
    )
)

optim_wrapper = dict(optimizer=dict(lr=base_lr * batch_size / 256))
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=batch_size)
