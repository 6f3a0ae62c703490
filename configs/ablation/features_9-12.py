"""Feature layers: the last four blocks.

tools/dist_train.sh configs/ablation/features_9-12.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(backbone=dict(out_indices=[8, 9, 10, 11]))
