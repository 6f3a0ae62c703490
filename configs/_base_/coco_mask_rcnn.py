"""Mask R-CNN on COCO 2017 as mmdet has it, with our seeds and checks.

``data_root`` comes from the environment variable COCO_ROOT or from ``--cfg-options data_root=DIR``,
with ``annotations/``, ``train2017/`` and ``val2017/`` in it.
"""

_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
custom_imports = dict(imports=['wamim_mm'], allow_failed_imports=False)

data_root = '{{$COCO_ROOT:data/coco}}'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + '/annotations/instances_val2017.json')
test_evaluator = val_evaluator

# The heads' number of classes must be that of the data: an error before the first iteration.
custom_hooks = [dict(type='NumClassCheckHook')]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
randomness = dict(seed=0, diff_rank_seed=True)
