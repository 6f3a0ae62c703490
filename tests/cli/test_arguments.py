"""Keys of --cfg-options that no class takes, and values that cannot be."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from wamim_mm.cli.arguments import check_arguments, check_values

CONFIGS = {
    'wamim': 'configs/pretrain/wamim_vit-b.py',
    'det': 'configs/det/mask-rcnn_wamim-swin-b_fpn_1x_coco.py',
    'seg': 'configs/seg/upernet_wamim-swin-b_160k_ade20k-512x512.py',
    'cls': 'configs/cls/wamim_vit-b_finetune.py',
}


def check(root, name, options):
    path = root / CONFIGS[name] if name in CONFIGS else Path(name)
    cfg = Config.fromfile(path, import_custom_modules=False)
    new = check_values(cfg, options)
    cfg.merge_from_dict(options)
    check_arguments(cfg, new)


@pytest.mark.parametrize(
    ('name', 'key', 'message'),
    [
        ('wamim', 'train_cfg.epochs', 'EpochBasedTrainLoop has no epochs; did you mean train_cfg'),
        (
            'seg',
            'train_cfg.max_itres',
            'IterBasedTrainLoop has no max_itres; did you mean train_cfg',
        ),
        ('wamim', 'train_dataloader.batchsize', 'did you mean train_dataloader.batch_size?'),
        ('wamim', 'train_dataloader.dataset.data_prefx', 'did you mean .*dataset.data_prefix?'),
        ('wamim', 'train_dataloader.dataset.pipeline.0.scal', r'did you mean .*pipeline.0.scale?'),
        (
            'wamim',
            'train_dataloader.sampler.shufle',
            'did you mean train_dataloader.sampler.shuffle',
        ),
        ('wamim', 'optim_wrapper.optimiser.lr', 'OptimWrapper has no optimiser; did you mean opt'),
        ('wamim', 'optim_wrapper.optimizer.weight_decy', 'AdamW has no weight_decy; did you mean'),
        ('wamim', 'optim_wrapper.clipgrad.max_norm', 'did you mean optim_wrapper.clip_grad?'),
        (
            'wamim',
            'default_hooks.checkpoint.intervals',
            'did you mean default_hooks.checkpoint.int',
        ),
        ('wamim', 'default_hooks.logger.intervals', 'LoggerHook has no intervals; did you mean'),
        (
            'wamim',
            'default_hooks.checkpoints.interval',
            'a hook without a type has no checkpoints; did',
        ),
        ('wamim', 'model.maskratio', 'WaMIM has no maskratio; did you mean model.mask_ratio?'),
        (
            'wamim',
            'model.backbone.drop_path_rat',
            'WaMIMViT has no drop_path_rat; did you mean mod',
        ),
        (
            'wamim',
            'model.neck.embed_dim',
            'WaMIMDecoder has no embed_dim; did you mean model.neck.',
        ),
        ('wamim', 'randomness.sed', 'randomness has no sed; did you mean randomness.seed?'),
        ('wamim', 'env_cfg.cudnn_benchmrk', 'did you mean env_cfg.cudnn_benchmark?'),
        ('wamim', 'auto_scale_lr.base_batchsize', 'did you mean auto_scale_lr.base_batch_size?'),
        (
            'det',
            'model.roi_head.bbox_head.num_class',
            'Shared2FCBBoxHead has no num_class; did you',
        ),
        ('det', 'val_evaluator.metrics', 'did you mean val_evaluator.metric?'),
        ('seg', 'model.decode_head.num_class', 'UPerHead has no num_class; did you mean'),
        ('cls', 'model.head.loss.label_smoth', 'did you mean model.head.loss.label_smooth_val?'),
    ],
)
def test_what_no_class_takes(root, name, key, message):
    with pytest.raises(ValueError, match=f'--cfg-options {key}: .*{message}'):
        check(root, name, {key: 1})


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('wamim', {'default_hooks.compile.type': 'CompileHook', 'default_hooks.compile.mode': 'a'}),
        ('wamim', {'default_hooks.visualization.type': 'VisualizationHook'}),
        (
            'wamim',
            {'default_hooks.checkpoint.save_best': 'auto', 'default_hooks.timer.priority': 1},
        ),
        ('wamim', {'default_hooks.sampler_seed': None}),
        ('wamim', {'optim_wrapper.loss_scale': 'dynamic', 'optim_wrapper.accumulative_counts': 4}),
        ('wamim', {'optim_wrapper.clip_grad.max_norm': 1.0, 'optim_wrapper.optimizer.eps': 1e-6}),
        ('wamim', {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'}),
        ('wamim', {'optim_wrapper.paramwise_cfg.bypass_duplicate': True}),
        ('wamim', {'optim_wrapper.paramwise_cfg.custom_keys.norm.lr_mult': 0.1}),
        ('wamim', {'train_cfg.val_begin': 2, 'train_cfg.dynamic_intervals': [(1, 2)]}),
        (
            'wamim',
            {'train_dataloader.prefetch_factor': 4, 'train_dataloader.num_batch_per_epoch': 2},
        ),
        ('wamim', {'train_dataloader.batch_sampler.type': 'A', 'train_dataloader.timeout': 1}),
        (
            'wamim',
            {'train_dataloader.dataset.indices': 8, 'train_dataloader.dataset.extensions': 1},
        ),
        ('wamim', {'param_scheduler.1.T_max': 3, 'param_scheduler.1.verbose': True}),
        ('wamim', {'model.backbone.drop_path_rate': 0.1, 'model.backbone.init_cfg.type': 'A'}),
        ('wamim', {'randomness.deterministic': True, 'env_cfg.mp_cfg.opencv_num_threads': 2}),
        ('wamim', {'log_processor.num_digits': 2, 'visualizer.name': 'a', 'load_from': 'a.pth'}),
        ('wamim', {'resume': True, 'compile': True, 'find_unused_parameters': True}),
        (
            'det',
            {'model.backbone.init_cfg.checkpoint': 'a', 'model.backbone.convert_weights': False},
        ),
        ('det', {'model.train_cfg.rcnn.sampler.num': 8, 'model.test_cfg.rcnn.score_thr': 0.1}),
        ('det', {'model.rpn_head.anchor_generator.scales': [8], 'val_evaluator.classwise': True}),
        ('det', {'model.roi_head.bbox_head.loss_bbox.loss_weight': 2.0}),
        ('det', {'model.neck.norm_cfg.type': 'BN', 'model.neck.norm_cfg.requires_grad': False}),
        ('seg', {'model.decode_head.loss_decode.class_weight': [1], 'model.test_cfg.crop_size': 1}),
        ('seg', {'model.backbone.with_cp': True, 'model.decode_head.ignore_index': 3}),
        ('cls', {'model.train_cfg.augments.0.probs': 0.5, 'model.init_cfg.0.mean': 0.1}),
        ('cls', {'model.head.topk': (1,), 'val_evaluator.collect_device': 'gpu'}),
    ],
    ids=str,
)
def test_what_works_is_not_refused(root, name, options):
    check(root, name, options)


def test_keys_of_libraries_configs(root):
    """All keys of a config are taken by its classes: as if each had been added."""
    for library, path in (
        ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'),
        ('mmdet', 'rtmdet/rtmdet_s_8xb32-300e_coco.py'),
        ('mmdet', 'yolox/yolox_s_8xb8-300e_coco.py'),
        ('mmdet', 'dino/dino-4scale_r50_8xb2-12e_coco.py'),
        ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
        ('mmseg', 'upernet/upernet_r50_4xb4-160k_ade20k-512x512.py'),
        ('mmpretrain', 'swin_transformer/swin-tiny_16xb64_in1k.py'),
        ('mmpretrain', 'mae/mae_vit-base-p16_8xb512-amp-coslr-400e_in1k.py'),
        ('mmpretrain', 'mocov3/mocov3_resnet50_8xb512-amp-coslr-300e_in1k.py'),
    ):
        file = Path(find_spec(library).submodule_search_locations[0], '.mim', 'configs', path)
        cfg = Config.fromfile(file, import_custom_modules=False)
        check_arguments(cfg, list(_keys(cfg.to_dict(), '')))
    for name in CONFIGS.values():
        cfg = Config.fromfile(root / name, import_custom_modules=False)
        check_arguments(cfg, list(_keys(cfg.to_dict(), '')))


def _keys(value, path):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if '.' in str(key):
            continue  # of a parameter; no option can name it
        if isinstance(item, dict | list | tuple) and item:
            yield from _keys(item, f'{path}{key}.')
        else:
            yield f'{path}{key}'


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('model.mask_ratio', 'high', '=high: must be a number, as 0.75 in this config'),
        ('train_dataloader.batch_size', 'many', '=many: must be a number, as '),
        ('train_cfg.max_epochs', 'ten', '=ten: must be a number, as 400 in this config'),
        ('train_dataloader.persistent_workers', 'no', '=no: must be True or False, as True in'),
        (
            'param_scheduler.2.end',
            3,
            'param_scheduler is a list of 2; 2 must be the number of an it',
        ),
        ('param_scheduler.cosine.end', 3, 'param_scheduler is a list of 2; cosine must be the'),
        ('data_root', 2024, 'reads 2024, a number; write ./NAME'),
        ('train_dataloader.dataset.data_root', ['a', 'b'], 'a list; write ./NAME for a folder'),
        ('model.mask_ratio.low', 3, 'model.mask_ratio is 0.75 in this config, which has no keys'),
    ],
)
def test_values_that_cannot_be(root, key, value, message):
    with pytest.raises(ValueError, match=f'--cfg-options {key}.*{message}'):
        check(root, 'wamim', {key: value})
