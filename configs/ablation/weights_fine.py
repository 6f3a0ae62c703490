"""Loss weights: more for fine levels.

tools/dist_train.sh configs/ablation/weights_fine.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(head=dict(loss_weights=(1.2, 1.1, 0.9, 0.8)))
