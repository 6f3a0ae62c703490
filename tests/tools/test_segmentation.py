"""UperNet on real ADE20K images, from a pre-trained encoder to mIoU."""

import pytest
import torch

from .commands import save_encoder, score, steps, train

SWIN = 'upernet_wamim-swin-b_160k_ade20k-512x512'
VIT = 'upernet_wamim-vit-b_160k_ade20k-512x512'
RESNET = 'upernet_mfm-r50_160k_ade20k-512x512'
# A pre-trained encoder of few channels, and what makes the config's segmentor as small.
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
            'model.decode_head.in_channels=[24,48,96,192]',
            'model.auxiliary_head.in_channels=96',
        ],
    ),
    VIT: (
        dict(type='WaMIMViT', arch='deit-tiny', out_indices=[2, 5, 8, 11]),
        [
            'model.backbone.arch=deit-tiny',
            'model.backbone.img_size=64',
            'model.neck.embed_dim=192',
            'model.decode_head.in_channels=[192,192,192,192]',
            'model.auxiliary_head.in_channels=192',
            'model.test_cfg.crop_size=(64,64)',
            'model.test_cfg.stride=(42,42)',
        ],
    ),
    RESNET: (
        dict(type='ResNet', depth=18),
        [
            'model.backbone.depth=18',
            'model.decode_head.in_channels=[64,128,256,512]',
            'model.auxiliary_head.in_channels=256',
        ],
    ),
}
SMALL_HEADS = [
    'model.decode_head.channels=32',
    'model.auxiliary_head.channels=16',
    'model.data_preprocessor.size=(64,64)',
    'train_dataloader.dataset.pipeline.2.scale=(256,64)',
    'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
    'val_dataloader.dataset.pipeline.1.scale=(256,64)',
    'test_dataloader.dataset.pipeline.1.scale=(256,64)',
]
BRIEF = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'default_hooks.logger.interval=1',
    'train_dataloader.dataset.data_prefix.img_path=images/validation',
    'train_dataloader.dataset.data_prefix.seg_map_path=annotations/validation',
]
for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
    BRIEF += [f'{loader}.num_workers=0', f'{loader}.persistent_workers=False']


@pytest.fixture
def ade20k(shared_data):
    """Three images of ADE20K with all their labels; the test is skipped where they are not."""
    folder = shared_data / 'ade20k_samples'
    if not folder.is_dir():
        pytest.skip(f'no ADE20K images at {folder}')
    return folder


def check(root, name, data_root, encoder, tmp_path, options):
    """Train for two steps and test; 150 classes, scored in the originals' size."""
    tensors = save_encoder(encoder, tmp_path / 'pretrained.pth')
    options = [
        f'data_root={data_root}',
        f'model.backbone.init_cfg.checkpoint={tmp_path / "pretrained.pth"}',
        *options,
        *BRIEF,
    ]
    config, work_dir = f'configs/seg/{name}.py', tmp_path / 'run'
    done = train(root, config, work_dir, options=options)
    assert done.returncode == 0, done.stderr
    tensors -= 2 * (name == VIT)  # the final norm, which UperNet does without
    assert f'loaded {tensors} of {tensors} backbone tensors' in done.stdout + done.stderr
    *training, validation = steps(work_dir)
    assert len(training) == 2
    for step in training:
        assert 0 < step['aux.loss_ce'] < step['decode.loss_ce'] < 8  # the logarithm of 150 is 5
    metrics = score(root, config, work_dir, options)
    assert metrics['mIoU'] == pytest.approx(validation['mIoU'])
    # The head knows 150 classes: "other", 0 in the files, is none of them.
    state = torch.load(work_dir / 'iter_2.pth', weights_only=True)['state_dict']
    assert state['decode_head.conv_seg.weight'].shape[0] == 150


# The others take another way through the backbone alone.
@pytest.mark.parametrize(
    'name', [SWIN, *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL if name != SWIN)]
)
def test_from_a_pretrained_encoder_to_miou(root, ade20k, tmp_path, name):
    encoder, small = SMALL[name]
    check(root, name, ade20k, encoder, tmp_path, [*small, *SMALL_HEADS])


@pytest.mark.slow
def test_full_size_swin_b(root, ade20k, tmp_path):
    encoder = dict(type='WaMIMSwinTransformer', arch='base', out_indices=(0, 1, 2, 3))
    check(root, SWIN, ade20k, encoder, tmp_path, [])


def test_missing_label_maps(root, ade20k, tmp_path):
    options = [f'data_root={ade20k}', 'model.backbone.init_cfg=None']
    done = train(root, f'configs/seg/{SWIN}.py', tmp_path, options=options)
    assert done.returncode != 0
    assert "images/training' does not exist" in done.stderr
