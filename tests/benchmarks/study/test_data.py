"""Images in memory, and crops beside sampling by hand."""

import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.study import data
from benchmarks.study.data import CLASSES, augment, generator, load_cifar10, order


def test_crops_are_bicubic_samples(monkeypatch):
    """Of a box that the draws are made for, beside sampling by hand."""
    size, box = 32, (4, 8, 16, 16)  # top, left, height, width
    top, left, height, width = box
    images = torch.randint(256, (2, 3, size, size), dtype=torch.uint8)
    share = (height * width / size**2 - 0.2) / 0.8
    x, y = left / (size - width), top / (size - height)
    drawn = torch.tensor([[share] * 2, [0.5] * 2, [x] * 2, [y] * 2, [0.9, 0.1]])
    monkeypatch.setattr(torch, 'rand', lambda *size, generator: drawn)
    found = augment(images, None)
    assert (found - _cubic(images, box, size, flip=(False, True))).abs().max() < 1e-5


def _cubic(images, box, size, flip):
    """Bicubic sampling, pixel by pixel, in float64; the image is mirrored at its border."""
    top, left, height, width = box

    def kernel(t, a=-0.75):
        t = abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0

    def weights(start, length):
        matrix = np.zeros((size, size))
        for out in range(size):
            place = start + (out + 0.5) * length / size - 0.5
            for source in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
                mirrored = source if 0 <= source < size else (-1 - source) % (2 * size)
                mirrored = min(mirrored, 2 * size - 1 - mirrored)
                matrix[out, mirrored] += kernel(place - source)
        return matrix

    pixels = images.double().numpy() / 255
    found = weights(top, height) @ pixels @ weights(left, width).T
    for index, turned in enumerate(flip):
        if turned:
            found[index] = found[index, :, :, ::-1]
    return torch.from_numpy(found.clip(0, 1))


def test_crops_follow_from_their_generator_alone():
    images = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)
    first, again = (augment(images, generator(1, 2, 4)) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, augment(images, generator(1, 3, 4)))
    assert first.min() >= 0 and first.max() <= 1 and first.isfinite().all()


def test_orders():
    assert order(100, 0, 0).sort().values.tolist() == list(range(100))
    assert torch.equal(order(100, 3, 1), order(100, 3, 1))
    assert not torch.equal(order(100, 3, 1), order(100, 3, 2))
    assert not torch.equal(order(100, 3, 1), order(100, 4, 1))
    seeds = {generator(a, b, c).initial_seed() for a in range(9) for b in range(9) for c in (1, 2)}
    assert len(seeds) == 162


def write_images(folder, train, test):
    rng = np.random.default_rng(0)
    for split, count in (('train', train), ('test', test)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((32, 32, 3), 20 * label + rng.integers(5), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f'{number:04}.jpg', quality=95)


@pytest.mark.parametrize('packed', [False, True])
def test_load(tmp_path, monkeypatch, packed):
    write_images(tmp_path / 'images', 3, 2)
    source = tmp_path / 'images'
    if packed:
        source = tmp_path / 'images.tar.xz'
        with tarfile.open(source, 'w:xz') as archive:
            for split in ('test', 'train'):
                archive.add(tmp_path / 'images' / split, split)
    with pytest.raises(ValueError, match="'train': 30, 'test': 20}, and CIFAR-10 has 50,000"):
        load_cifar10(source, tmp_path / 'cache.pt')
    assert not (tmp_path / 'cache.pt').exists()
    monkeypatch.setattr(data, 'COUNTS', dict(train=30, test=20))
    first = load_cifar10(source, tmp_path / 'cache.pt')
    again = load_cifar10(tmp_path / 'gone', tmp_path / 'cache.pt')
    for split, count in (('train', 30), ('test', 20)):
        images, labels = first[split]
        assert images.shape == (count, 3, 32, 32) and images.dtype == torch.uint8
        assert torch.equal(images, again[split].images)
        assert labels.bincount().tolist() == [count // 10] * 10
        assert labels.diff().count_nonzero() > count / 2  # classes are mixed
        shades = images.float().mean((1, 2, 3))
        assert torch.equal((shades / 20).long(), labels)  # each image with its own label


def test_corrupted_images(tmp_path):
    test = data.Images(torch.full((6, 3, 32, 32), 128, dtype=torch.uint8), torch.arange(6))
    found = data.corrupted(test, tmp_path / 'cache.pt', count=4)
    assert found.images.shape == (60, 3, 32, 32) and found.images.dtype == torch.uint8
    assert found.labels.tolist() == [0, 1, 2, 3] * 15
    kinds = [part.float().std() for part in found.images.split(4)]
    names = data.CORRUPTIONS
    assert kinds[names.index('gaussian_noise')] > 5  # a grey image gets noise
    assert kinds[names.index('defocus_blur')] == 0  # and nothing from a blur
    again = data.corrupted(test, tmp_path / 'cache.pt', count=4)
    assert torch.equal(found.images, again.images)


def test_no_data(tmp_path):
    with pytest.raises(FileNotFoundError, match='give a tar archive or folder'):
        load_cifar10(tmp_path / 'none', tmp_path / 'cache.pt')
