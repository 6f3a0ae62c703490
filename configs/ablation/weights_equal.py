"""Loss weights: all levels alike.

tools/dist_train.sh configs/ablation/weights_equal.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(head=dict(loss_weights=(1.0, 1.0, 1.0, 1.0)))
