"""The linear probe against scikit-like closed cases and its own rules."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from torch.nn import functional as F

from wamim_mm.evaluation.linear_probe import (
    _logistic_regression,
    extract_features,
    fit_linear_probe,
    split_loader,
)


def blobs(count, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return centres[labels] + spread * torch.randn(count, 2, generator=generator), labels


def test_separable_and_hopeless():
    assert fit_linear_probe(*blobs(300, 0.3, 0)).accuracy(*blobs(150, 0.3, 1)) == 1.0
    labels = torch.arange(600) % 3
    assert (
        fit_linear_probe(torch.randn(600, 20), labels).accuracy(torch.randn(600, 20), labels) < 0.42
    )


def test_scale_and_dead_features_do_not_matter():
    (x, y), (x_test, y_test) = blobs(300, 1.5, 0), blobs(300, 1.5, 1)
    plain = fit_linear_probe(x, y).accuracy(x_test, y_test)

    def stretched(x):
        return torch.cat([x * torch.tensor([1e3, 1e-3]) + 7, torch.ones(len(x), 1)], dim=1)

    probe = fit_linear_probe(stretched(x), y)
    assert abs(probe.accuracy(stretched(x_test), y_test) - plain) < 0.01


def test_regression_reaches_the_minimum():
    x, y = blobs(90, 2.0, 0)
    weight, bias = (part.requires_grad_() for part in _logistic_regression(x, y, 0.01))
    loss = F.cross_entropy(x @ weight + bias, y) + 0.005 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-4


def test_features_are_the_means_of_all_maps():
    class Model(torch.nn.Module):
        def __init__(self, stride):
            super().__init__()
            self.stride = stride

        def data_preprocessor(self, batch):
            return batch

        def backbone(self, x):
            return x[:, :1], x[:, :, :: self.stride]

    x = torch.randn(2, 3, 4, 4)
    batch = dict(inputs=x, data_samples=[DataSample().set_gt_label(i) for i in (1, 0)])
    features, labels = extract_features([Model(1), Model(2)], iter([batch, batch]))
    for stride, found in zip((1, 2), features, strict=True):
        means = torch.cat([x[:, :1].mean((2, 3)), x[:, :, ::stride].mean((2, 3))], dim=1)
        torch.testing.assert_close(found, torch.cat([means, means]))
    assert labels.tolist() == [1, 0, 1, 0]


def test_labels_are_those_of_the_split_that_is_fitted(tmp_path):
    """Also where the other split lacks the folder of a class."""
    for folder in ('train/a', 'train/b', 'train/c', 'val/b', 'val/c', 'other/d'):
        (tmp_path / folder).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(tmp_path / folder / '1.png')
    train = split_loader('train', str(tmp_path), (8, 8), 4).dataset
    assert train.CLASSES == ('a', 'b', 'c')
    val = split_loader('val', str(tmp_path), (8, 8), 4, classes=train.CLASSES)
    assert [sample.gt_label.item() for batch in val for sample in batch['data_samples']] == [1, 2]
    with pytest.raises(ValueError, match=r'1 of the 1 class folders .*other'):
        split_loader('other', str(tmp_path), (8, 8), 4, classes=train.CLASSES)
    with pytest.raises(ValueError, match='one class folder only'):
        split_loader('other', str(tmp_path), (8, 8), 4)


@pytest.mark.parametrize(
    ('like', 'channels', 'value'),
    [
        ([], 3, 100),
        ([dict(type='LoadRandomResizedCrop', color_type='grayscale')], 1, 100),
        ([dict(type='LoadImage', value_range=(0, 200))], 3, 127.5),
    ],
)
def test_images_are_read_as_the_training_reads_them(tmp_path, like, channels, value):
    for name in 'ab':
        (tmp_path / 'val' / name).mkdir(parents=True)
        Image.fromarray(np.full((40, 60), 100, np.uint8)).save(tmp_path / f'val/{name}/0.png')
    loader = split_loader('val', str(tmp_path), (32, 64), 1, like=like)
    images = next(iter(loader))['inputs']
    assert images.shape == (1, channels, 32, 64) and (images == value).all()
    if like:
        pytest.importorskip('imagecorruptions', reason='of the test extra')
        with pytest.raises(ValueError, match=r'colours of 8 bits .* all that the package knows'):
            split_loader('val', str(tmp_path), (32, 64), 1, ('contrast', 3), like=like)
