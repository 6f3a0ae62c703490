"""Vectors of images, beside what mmpretrain and NumPy give."""

import csv
import os

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from mmpretrain.models import VisionTransformer
from PIL import Image

from wamim_mm.cli import export_backbone
from wamim_mm.cli.embed import draw_neighbours
from wamim_mm.cli.given import given_config
from wamim_mm.evaluation.embedding import (
    Pair,
    embed,
    near_duplicates,
    nearest,
    save_embedding,
)
from wamim_mm.evaluation.linear_probe import build_encoder
from wamim_mm.evaluation.models import build_model, input_size
from wamim_mm.models.features import feature_maps, mean_features

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['a_module_that_is_not_there'])
model = dict(
    type='WaMIM',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor', mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0],
        to_rgb=True,
    ),
    backbone=dict(
        type='WaMIMViT', arch='deit-tiny', img_size=32, patch_size=8, out_indices=[5, 11]
    ),
    neck=dict(type='WaMIMDecoder', strides=8, embed_dims=32, num_heads=2),
    target_generator=dict(type='WaveletTargetGenerator', levels=(2, 3)),
    head=dict(type='WaMIMHead', loss_weights=(1.0, 1.0)),
)
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """As a run writes it: with the text of its config."""
    from wamim_mm.evaluation.models import checkpoint_config

    path = tmp_path_factory.mktemp('run') / 'epoch_1.pth'
    save_checkpoint(dict(meta=dict(cfg=CONFIG), state_dict={}), str(path))
    torch.manual_seed(0)
    model = build_model(checkpoint_config(str(path)))
    model.init_weights()
    save_checkpoint(dict(meta=dict(cfg=CONFIG), state_dict=model.state_dict()), str(path))
    return path


@pytest.fixture
def images(tmp_path):
    paths = []
    for i in range(5):
        noise = np.random.default_rng(i % 4).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        paths.append(tmp_path / f'{i}.png')
        Image.fromarray(noise).save(paths[-1])
    return paths


def test_vectors_are_means_of_the_hosts_last_feature_map(checkpoint, images):
    with given_config(None, str(checkpoint)) as cfg:
        found = embed(cfg, str(checkpoint), images, batch_size=2)
    host = VisionTransformer('deit-tiny', 32, 8, out_indices=[11], out_type='featmap')
    host.eval()
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    host.load_state_dict(
        {k.removeprefix('backbone.'): v for k, v in state.items() if k.startswith('backbone.')}
    )
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(path))) for path in images])
    inputs = (pixels.permute(0, 3, 1, 2) - torch.tensor([120.0, 110, 100]).view(3, 1, 1)) / (
        torch.tensor([60.0, 50, 40]).view(3, 1, 1)
    )
    with torch.no_grad():
        expected = host(inputs)[0].mean((2, 3))
    assert found.paths == images and found.bad == []
    np.testing.assert_allclose(found.vectors, expected, atol=2e-5)


@pytest.mark.parametrize('arch', ['vit', 'swin'])
def test_the_encoder_that_pretraining_exports(arch, checkpoint, images, tmp_path, monkeypatch):
    """It has the backbone alone, which is all that embed and probe read."""
    text = CONFIG
    if arch == 'swin':
        text = text.replace("'WaMIMViT', arch='deit-tiny'", "'WaMIMSwinTransformer', arch='tiny'")
        text = text.replace(
            'patch_size=8, out_indices=[5, 11]',
            'patch_size=2, out_indices=(1, 2), pad_small_map=True',
        )
        text = text.replace('strides=8', 'strides=(4, 8)')
        checkpoint = tmp_path / 'whole.pth'
        save_checkpoint(dict(meta=dict(cfg=text), state_dict={}), str(checkpoint))
        with given_config(None, str(checkpoint)) as cfg:
            model = build_model(cfg)
        save_checkpoint(dict(meta=dict(cfg=text), state_dict=model.state_dict()), str(checkpoint))
    exported = tmp_path / 'backbone.safetensors'
    command = ['export', str(checkpoint), str(exported), '--to', 'mmpretrain']
    monkeypatch.setattr('sys.argv', command)
    export_backbone.main()
    with given_config(None, str(checkpoint)) as cfg:
        found = embed(cfg, str(exported), images)
        np.testing.assert_array_equal(found.vectors, embed(cfg, str(checkpoint), images).vectors)
        cfg.model.backbone.arch = 'deit-small' if arch == 'vit' else 'base'
        with pytest.raises(ValueError, match='does not fit'):
            embed(cfg, str(exported), images)


@pytest.mark.parametrize('content', [[1, 2], torch.ones(2), dict(state_dict=torch.ones(2))])
def test_what_is_no_checkpoint(content, checkpoint, images, tmp_path):
    torch.save(content, tmp_path / 'other.pth')
    with (
        given_config(None, str(checkpoint)) as cfg,
        pytest.raises(ValueError, match='where tensors by name are expected'),
    ):
        embed(cfg, str(tmp_path / 'other.pth'), images)


def test_options_change_the_config(checkpoint, tmp_path):
    options = {'model.backbone.img_size': 64}
    with given_config(None, str(checkpoint), options) as cfg:
        assert cfg.model.backbone.img_size == 64
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.replace('a_module_that_is_not_there', 'wamim_mm'))
    with given_config(str(path), str(checkpoint), options) as cfg:
        assert cfg.model.backbone.img_size == 64
    with pytest.raises(ValueError, match='nothing reads this key'):  # noqa: SIM117
        with given_config(None, str(checkpoint), {'modle.x': 1}):
            pass


def test_bad_files_are_passed_over_and_named(checkpoint, images):
    images[1].write_bytes(b'no image')
    images[3].unlink()
    counted = []
    with given_config(None, str(checkpoint)) as cfg:
        found = embed(cfg, str(checkpoint), images, 2, counted.append)
        with pytest.raises(ValueError, match='none of 1 images can be read'):
            embed(cfg, str(checkpoint), images[1:2])
    assert found.paths == [images[0], images[2], images[4]] and len(found.vectors) == 3
    assert [str(images[1]) in found.bad[0], str(images[3]) in found.bad[1]] == [True, True]
    assert counted == [2, 2, 1]


def test_a_checkpoint_without_a_config_asks_for_one(tmp_path):
    path = tmp_path / 'plain.pth'
    torch.save(dict(state_dict={}), path)
    with pytest.raises(ValueError, match="does not hold its run's config"):  # noqa: SIM117
        with given_config(None, str(path)):
            pass


@pytest.mark.parametrize(
    'hostile',
    [
        "model = dict(type='subprocess.getoutput', cmd='touch hacked')",
        'import os',
        "model = __import__('os').system('touch hacked')",
    ],
)
def test_a_config_that_would_run_code_is_refused(hostile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'hostile.pth'
    torch.save(dict(meta=dict(cfg=hostile), state_dict={}), path)
    with pytest.raises(ValueError, match=r'give the config|no class of this name'):  # noqa: SIM117
        with given_config(None, str(path)) as cfg:
            build_model(cfg)
    assert not (tmp_path / 'hacked').exists()


def test_neighbours_and_pairs_by_brute_force():
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    vectors[7] = 3 * vectors[2]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    found = nearest(vectors, [2, 9], 3)
    for query, row in zip([2, 9], found.tolist(), strict=True):
        others = sorted((i for i in range(40) if i != query), key=lambda i: -cosines[query, i])
        assert row == others[:3]
    pairs = near_duplicates(vectors, 0.5)
    expected = {(i, j) for i in range(40) for j in range(i + 1, 40) if cosines[i, j] >= 0.5}
    assert {(a, b) for a, b, _ in pairs} == expected
    assert [pair.cosine for pair in pairs] == sorted((p.cosine for p in pairs), reverse=True)
    first = pairs[0]
    assert (first.first, first.second) == (2, 7) and first.cosine == pytest.approx(1)
    assert isinstance(first, Pair)


def test_pairs_across_chunks(monkeypatch):
    monkeypatch.setattr('wamim_mm.evaluation.embedding.CHUNK', 3)
    vectors = np.eye(8, dtype=np.float32)
    vectors[7] = vectors[0]
    vectors[5] = vectors[4]
    assert {(a, b) for a, b, _ in near_duplicates(vectors, 0.9)} == {(0, 7), (4, 5)}


def test_files(tmp_path):
    names, vectors = ['a/1.png', 'ü, "2".png'], np.float32([[0.1, 1], [2, -3]])
    save_embedding(names, vectors, tmp_path / 'x' / 'e.npz')
    stored = np.load(tmp_path / 'x' / 'e.npz')
    assert stored['names'].tolist() == names and (stored['vectors'] == vectors).all()
    save_embedding(names, vectors, tmp_path / 'e.csv')
    with (tmp_path / 'e.csv').open(newline='') as file:
        head, *rows = csv.reader(file)
    assert head == ['name', 'x0', 'x1'] and [row[0] for row in rows] == names
    assert (np.float32([row[1:] for row in rows]) == vectors).all()


@pytest.mark.parametrize('kind', ['npz', 'csv', 'parquet'])
def test_a_disk_that_is_full_leaves_no_part_of_a_file(tmp_path, monkeypatch, kind):
    if kind == 'parquet':
        pytest.importorskip('pyarrow')

    def full(*_):
        raise OSError('No space left on device')

    monkeypatch.setattr('wamim_mm.interop.saving.os.fsync', full)
    with pytest.raises(OSError, match='No space left'):
        save_embedding(['a'], np.zeros((1, 1), np.float32), tmp_path / f'e.{kind}')
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_utf8(tmp_path):
    names = [os.fsdecode(b'caf\xe9.jpg'), 'b.jpg']
    for kind in ('csv', 'npz'):
        save_embedding(names, np.zeros((2, 1), np.float32), tmp_path / f'e.{kind}')
    assert (tmp_path / 'e.csv').read_bytes().splitlines()[1] == b'caf\xe9.jpg,0.0'
    assert np.load(tmp_path / 'e.npz')['names'].tolist() == names
    pytest.importorskip('pyarrow')
    save_embedding(names, np.zeros((2, 1), np.float32), tmp_path / 'e.parquet')


def test_neighbours_are_drawn_as_they_are_read(tmp_path):
    """Of 16 bits Pillow shows what is above 255 as white."""
    values = np.linspace(0, 4095, 128 * 128).reshape(128, 128).astype(np.uint16)
    paths = [tmp_path / f'{i}.png' for i in range(2)]
    for path in paths:
        Image.fromarray(values).save(path)
    like = [dict(type='LoadImage', value_range=(0, 4095))]
    draw_neighbours(paths, [0], np.array([[1]]), tmp_path / 'n.png', like)
    drawn = np.asarray(Image.open(tmp_path / 'n.png'))[6:134, 6:134, 0]
    np.testing.assert_allclose(drawn, values / 4095 * 255, atol=1)


def test_a_fine_tuned_classifier(root, images, tmp_path):
    """Its mean of the last feature map has a norm that feature maps do not have."""
    cfg = Config.fromfile(root / 'configs/cls/mfm_vit-s_finetune.py')
    cfg.model.backbone.update(arch='deit-tiny', img_size=32, patch_size=8, init_cfg=None)
    cfg.model.head.in_channels = 192
    model = build_model(cfg)
    assert cfg.model.backbone.out_type == 'avg_featmap'
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(tmp_path / 'tuned.pth'))
    found = embed(cfg, str(tmp_path / 'tuned.pth'), images, batch_size=2)
    assert found.vectors.shape == (5, 192)


def test_parquet(tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    save_embedding(['a', 'b'], np.float32([[0.1, 1], [2, -3]]), tmp_path / 'e.parquet')
    table = parquet.read_table(tmp_path / 'e.parquet').to_pydict()
    assert table['name'] == ['a', 'b'] and table['vector'][1] == [2, -3]


@pytest.mark.parametrize('method', ['mae_vit', 'simmim_swin', 'maskfeat_vit'])
def test_methods_whose_backbones_hide_patches(root, method):
    """All positions, in their order, as their own algorithms take features out."""
    cfg = Config.fromfile(root / f'configs/study/{method}.py')
    model = build_encoder(cfg, 0).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        maps = feature_maps(model, images)
        expected = model.extract_feat(images)
        assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
        batch = dict(inputs=images * 50 + 100, data_samples=[])
        vectors = mean_features(model, dict(batch))[-1]
    assert maps[-1].ndim == 4 and vectors.shape == (2, maps[-1].shape[1])


@pytest.mark.parametrize('there', [True, False])
def test_a_config_that_starts_from_a_checkpoint(there, root, images, tmp_path):
    """A random encoder is a random one, and the old file is not needed."""
    cfg = Config.fromfile(root / 'configs/cls/mfm_vit-s_finetune.py')
    cfg.model.backbone.update(arch='deit-tiny', img_size=32, patch_size=8, init_cfg=None)
    cfg.model.head.in_channels = 192
    model = build_model(cfg)
    model.init_weights()
    old, tuned = str(tmp_path / 'old.pth'), str(tmp_path / 'tuned.pth')
    for path in (old, tuned) if there else (tuned,):
        save_checkpoint(dict(state_dict=model.state_dict(), meta={}), path)
    cfg.model.backbone.init_cfg = [
        dict(type='TruncNormal', layer='Linear', std=0.02),
        dict(type='Pretrained', checkpoint=old, prefix='backbone.'),
    ]
    assert embed(cfg, tuned, images, batch_size=2).vectors.shape == (5, 192)
    random = build_encoder(cfg, 1).cpu().backbone.state_dict()
    name = 'layers.0.attn.qkv.weight'
    assert not torch.equal(random[name], model.backbone.state_dict()[name])
    assert cfg.model.backbone.init_cfg[1].checkpoint == old


def test_the_size_of_a_swin(root):
    cfg = Config.fromfile(root / 'configs/cls/wamim_swin-t_finetune.py')
    cfg.model.backbone.update(img_size=96, window_size=3, init_cfg=None)
    assert input_size(build_model(cfg)) == (96, 96)


def test_endings_in_capitals(tmp_path):
    for name in ('e.NPZ', 'e.CSV'):
        save_embedding(['a'], np.float32([[1, 2]]), tmp_path / name)
    assert np.load(tmp_path / 'e.NPZ')['names'].tolist() == ['a']
    assert (tmp_path / 'e.CSV').read_text().startswith('name,x0,x1')
