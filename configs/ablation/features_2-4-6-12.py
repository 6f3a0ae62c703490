"""Feature layers: shallower ones for all levels but the coarsest.

tools/dist_train.sh configs/ablation/features_2-4-6-12.py 8 --amp
"""

_base_ = './baseline.py'

model = dict(backbone=dict(out_indices=[1, 3, 5, 11]))
