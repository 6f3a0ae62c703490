"""Mask R-CNN on real COCO images, from a pre-trained encoder to box and mask AP."""

from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from wamim_mm.cli.launch import add_common_arguments, build_runner, load_config

from .commands import save_encoder, score, steps, train

SWIN = 'mask-rcnn_wamim-swin-b_fpn_1x_coco'
VIT = 'mask-rcnn_wamim-vit-b_sfp_coco'
RESNET = 'mask-rcnn_mfm-r50_fpn_1x_coco'
# A pre-trained encoder of few channels, and what makes the config's detector as small.
SMALL = {
    SWIN: (
        dict(
            type='WaMIMSwinTransformer',
            arch=dict(embed_dims=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]),
            out_indices=(0, 1, 2, 3),
        ),
        [
            'model.backbone.embed_dims=24',
            'model.backbone.depths=[1,1,2,1]',
            'model.backbone.num_heads=[1,2,4,8]',
            'model.neck.in_channels=[24,48,96,192]',
            'train_dataloader.dataset.pipeline.2.scale=(192,192)',
        ],
    ),
    VIT: (
        dict(type='WaMIMViT', arch='deit-tiny', out_indices=[2, 5, 8, 11]),
        [
            'model.backbone.arch=deit-tiny',
            'model.neck.in_channels=192',
            'model.data_preprocessor.pad_size_divisor=192',
            'train_dataloader.dataset.pipeline.3.scale=(192,192)',
            'train_dataloader.dataset.pipeline.4.crop_size=(192,192)',
        ],
    ),
    RESNET: (
        dict(type='ResNet', depth=18),
        [
            'model.backbone.depth=18',
            'model.neck.in_channels=[64,128,256,512]',
            'train_dataloader.dataset.pipeline.2.scale=(192,192)',
        ],
    ),
}
BRIEF = [
    'model.test_cfg.rcnn.score_thr=0.0',  # two steps make no sure predictions
    'model.test_cfg.rcnn.max_per_img=10',
    'model.test_cfg.rpn.max_per_img=20',
    'model.train_cfg.rcnn.sampler.num=32',
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=2',
    'default_hooks.logger.interval=1',
    'val_dataloader.dataset.pipeline.1.scale=(192,192)',
    'test_dataloader.dataset.pipeline.1.scale=(192,192)',
]
for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
    BRIEF += [
        f'{loader}.dataset.indices=4',
        f'{loader}.num_workers=0',
        f'{loader}.persistent_workers=False',
    ]


@pytest.fixture
def coco(shared_data):
    """25 + 25 images of COCO 2017; the test is skipped where they are not."""
    folder = shared_data / 'tiny_coco'
    if not folder.is_dir():
        pytest.skip(f'no COCO images at {folder}')
    return folder


def small_options(name, coco, checkpoint):
    return [
        f'data_root={coco}',
        f'model.backbone.init_cfg.checkpoint={checkpoint}',
        'train_cfg.val_interval=1',
        *SMALL[name][1],
        *BRIEF,
    ]


# The others take another way through the backbone alone.
@pytest.mark.parametrize(
    'name', [SWIN, *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL if name != SWIN)]
)
def test_from_a_pretrained_encoder_to_ap(root, coco, tmp_path, name):
    tensors = save_encoder(SMALL[name][0], tmp_path / 'pretrained.pth')
    config, work_dir = f'configs/det/{name}.py', tmp_path / 'run'
    options = small_options(name, coco, tmp_path / 'pretrained.pth')
    done = train(root, config, work_dir, options=options)
    assert done.returncode == 0, done.stderr
    assert f'loaded {tensors} of {tensors} backbone tensors' in done.stdout + done.stderr
    *training, validation = steps(work_dir)
    assert len(training) == 2
    for step in training:
        for part in ('rpn_cls', 'rpn_bbox', 'cls', 'bbox', 'mask'):
            assert 0 < step[f'loss_{part}'] < 10
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} < set(validation)
    if name == SWIN:
        metrics = score(root, config, work_dir, options)
        assert metrics['coco/segm_mAP'] == validation['coco/segm_mAP']


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (
            {'model.roi_head.bbox_head.num_classes': 5, 'model.backbone.init_cfg': None},
            AssertionError,
            r'`num_classes` \(5\) in Shared2FCBBoxHead.*80',
        ),
        (
            {
                'train_dataloader.dataset.data_prefix.img': 'val2017/',
                'model.backbone.init_cfg': None,
            },
            FileNotFoundError,
            r'25 of the 25 images of .*instances_train2017\.json.* do not exist \(.*val2017/0000',
        ),
    ],
)
def test_bad_input_stops_before_training(root, coco, tmp_path, options, error, message):
    parser = ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    arguments = [str(root / f'configs/det/{SWIN}.py'), '--work-dir', str(tmp_path)]
    arguments += ['--cfg-options', *small_options(SWIN, coco, 'nowhere.pth')]
    cfg = load_config(parser.parse_args(arguments))
    cfg.merge_from_dict(options)
    with pytest.raises(error, match=message):
        build_runner(cfg, ('train_dataloader', 'val_dataloader'), strict=False).train()
    assert not [*tmp_path.glob('*.pth')]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'pretraining'), [(SWIN, 'wamim_swin-b'), (VIT, 'wamim_vit-b'), (RESNET, 'mfm_r50')]
)
def test_full_size(root, coco, tmp_path, name, pretraining):
    """The config as it is, at 1333 x 800 or 1024 x 1024; three images to train on, three to test.

    The ViT needs 16 GB of memory.
    """
    encoder = Config.fromfile(root / f'configs/pretrain/{pretraining}.py').model.backbone
    tensors = save_encoder(encoder, tmp_path / 'pretrained.pth')
    config, work_dir = f'configs/det/{name}.py', tmp_path / 'run'
    options = [
        f'data_root={coco}',
        f'model.backbone.init_cfg.checkpoint={tmp_path / "pretrained.pth"}',
        'model.test_cfg.rcnn.score_thr=0.0',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=2',
        'train_dataloader.batch_size=1',
        'train_dataloader.dataset.indices=3',
        'test_dataloader.dataset.indices=3',
        'default_hooks.logger.interval=1',
    ]
    done = train(root, config, work_dir, options=options)
    assert done.returncode == 0, done.stderr
    assert f'loaded {tensors} of {tensors} backbone tensors' in done.stdout + done.stderr
    training = [step for step in steps(work_dir) if 'loss' in step]
    assert len(training) == 3 and all(step['loss'] < 20 for step in training)
    metrics = score(root, config, work_dir, options)
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} < set(metrics)


@pytest.mark.slow
def test_25_images_are_learned_by_heart(root, coco, tmp_path):
    """Boxes, masks, flips and scales are right: these APs are out of reach otherwise."""
    config = 'tests/configs/mask-rcnn_overfit_tiny-coco.py'
    options = [f'data_root={coco}']
    done = train(root, config, tmp_path, options=options)
    assert done.returncode == 0, done.stderr
    metrics = score(root, config, tmp_path, options)
    assert metrics['coco/bbox_mAP'] > 0.6 and metrics['coco/bbox_mAP_50'] > 0.75
    assert metrics['coco/segm_mAP'] > 0.38 and metrics['coco/segm_mAP_50'] > 0.62
