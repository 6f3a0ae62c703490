"""CIFAR-10 in memory, and the augmentation of a batch as tensors."""

import io
import math
import tarfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from wamim_mm.data.corruptions import Corrupt
from wamim_mm.imagenet_c import CORRUPTIONS
from wamim_mm.interop.whole_files import write_whole

CLASSES = (
    *('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship'),
    'truck',
)
COUNTS = dict(train=50_000, test=10_000)


class Images(NamedTuple):
    """``images`` ``(N, 3, H, W)`` uint8 RGB, and ``labels`` ``(N,)`` int64."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> 'Images':
        return Images(self.images.to(device), self.labels.to(device))

    def __getitem__(self, index):  # samples, not fields
        return Images(self.images[index], self.labels[index])


def load_cifar10(source: Path, cache: Path) -> dict[str, Images]:
    """CIFAR-10's ``train`` and ``test``, in an order that mixes the classes, the same every time.

    Args:
        source: A tar archive, or a folder, of ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``.
        cache: Where the decoded images are kept for the next time.

    Raises:
        FileNotFoundError: The source is not there.
        ValueError: It does not hold CIFAR-10's 50,000 and 10,000 images in its ten classes.
    """
    if not cache.is_file():
        if not source.exists():
            raise FileNotFoundError(
                f'no CIFAR-10 at {source}; give a tar archive or folder of train/<class>/*.jpg and '
                'test/<class>/*.jpg with --data'
            )
        found = {split: ([], []) for split in ('train', 'test')}
        for name, content in sorted(_files(source)):
            split, label = Path(name).parts[-3:-1]
            image = Image.open(io.BytesIO(content)).convert('RGB')
            found[split][0].append(np.asarray(image))
            found[split][1].append(CLASSES.index(label))
        counts = {split: len(labels) for split, (_, labels) in found.items()}
        if counts != COUNTS:
            raise ValueError(f'{source} holds {counts}, and CIFAR-10 has 50,000 and 10,000 images')
        stored = {}
        for split, (images, labels) in found.items():
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
            tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
            stored[split] = (tensor[order].contiguous(), torch.tensor(labels)[order])
        write_whole(cache, partial(torch.save, stored))
    loaded = torch.load(cache, weights_only=True)
    return {split: Images(*tensors) for split, tensors in loaded.items()}


def corrupted(test: Images, cache: Path, count: int = 500, severity: int = 1) -> Images:
    """The first test images under each of ImageNet-C's 15 corruptions, ``15 * count`` in all.

    Parameters are ImageNet-C's, which are harsher on 32 pixels than on 224.

    Args:
        test: The test images.
        cache: Where they are kept for the next time.
        count: Images for each corruption.
        severity: 1 to 5.
    """
    labels = test.labels[:count].repeat(len(CORRUPTIONS))
    if not cache.is_file():
        made = []
        for name in CORRUPTIONS:
            corrupt = Corrupt(name, severity, channel_order='rgb')
            for image in test.images[:count].permute(0, 2, 3, 1).cpu().numpy():
                made.append(corrupt.transform(dict(img=image))['img'])
        pixels = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).contiguous()
        write_whole(cache, partial(torch.save, pixels))
    images = torch.load(cache, weights_only=True).to(labels.device)
    return Images(images, labels)


def _files(source: Path):
    """Names and contents of the images in a folder or an archive."""
    if source.is_dir():
        for path in source.glob('*/*/*.jpg'):
            yield str(path.relative_to(source)), path.read_bytes()
        return
    with tarfile.open(source) as archive:
        for member in archive:
            if member.name.endswith('.jpg'):
                yield member.name, archive.extractfile(member).read()


def generator(*numbers: int) -> torch.Generator:
    """A CPU generator that follows from a few numbers: a seed, an epoch or step, and a purpose."""
    words = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the images in an epoch, ``(count,)``."""
    return torch.randperm(count, generator=generator(seed, epoch, 1))


def augment(
    images: Tensor, draws: torch.Generator, area: tuple[float, float] = (0.2, 1.0)
) -> Tensor:
    """Random resized crops and horizontal flips of a batch, by bicubic sampling.

    A crop is never larger than the image, so that sampling needs no low-pass filter.

    Args:
        images: ``(N, C, H, W)`` uint8.
        draws: A CPU generator: the crops are the same on every device.
        area: The least and largest share of the image that a crop covers; sides are as 3 : 4 to
            4 : 3.

    Returns:
        ``(N, C, H, W)`` float32 in [0, 1].
    """
    count = len(images)
    share, aspect, x, y, flip = torch.rand(5, count, generator=draws)
    share = area[0] + (area[1] - area[0]) * share
    aspect = torch.exp(math.log(4 / 3) * (2 * aspect - 1))
    width = (share * aspect).sqrt().clamp(max=1)
    height = (share / aspect).sqrt().clamp(max=1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = torch.where(flip < 0.5, -width, width)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (1 - width) * (2 * x - 1)
    theta[:, 1, 2] = (1 - height) * (2 * y - 1)
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    pixels = F.grid_sample(
        images.float() / 255, grid, mode='bicubic', padding_mode='reflection', align_corners=False
    )
    return pixels.clamp_(0, 1)
