"""What an encoder is worth: linear probes, nearest neighbours, fine-tuning, corrupted images."""

import math
import time
from collections.abc import Callable

import torch
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from wamim_mm.evaluation.linear_probe import fit_linear_probe
from wamim_mm.evaluation.nearest_neighbours import knn_accuracy

from .data import Images, augment, generator, order
from .pretraining import learning_rate

# What pre-trained weights of every method go into: the encoder alone, as mmpretrain has it.
ENCODERS = {
    'vit': dict(
        type='VisionTransformer',
        arch=dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768),
        img_size=32,
        patch_size=4,
        out_type='featmap',
        out_indices=[1, 3, 5],
    ),
    'swin': dict(
        type='SwinTransformer',
        arch=dict(embed_dims=96, depths=[2, 2, 2], num_heads=[3, 6, 12]),
        img_size=32,
        patch_cfg=dict(kernel_size=2, stride=2),
        stage_cfgs=dict(block_cfgs=dict(window_size=4)),
        drop_path_rate=0.0,
        out_indices=(0, 1, 2),
    ),
    'resnet': dict(
        type='ResNet_CIFAR', depth=18, stem_channels=32, base_channels=32, out_indices=(1, 2, 3)
    ),
}
WIDTHS = dict(vit=192, swin=384, resnet=256)  # channels of the last feature map
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1) / 255
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1) / 255
PROBED = 10_000  # training images that the probes and the neighbours see
FINETUNE_BATCH = 32
FINETUNE_LR = 1e-3


class Classifier(BaseModule):
    """An encoder, the mean of its last feature map, and a linear layer.

    Args:
        encoder: A name of `ENCODERS`.
        weights: The pre-trained backbone's state dict; what the encoder does not have (mask tokens)
            is left out. None for an encoder at random.
        seed: Of the weights that are not given.
    """

    def __init__(self, encoder: str, weights: dict[str, Tensor] | None, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = MODELS.build(ENCODERS[encoder])
        self.backbone.init_weights()
        if weights is not None:
            own = self.backbone.state_dict()
            # Swin's earlier norms, which SimMIM and MFM do not have, stay as they start.
            missing = [name for name in own.keys() - weights.keys() if name[:4] != 'norm']
            if missing:
                raise ValueError(f'the pre-trained encoder lacks {sorted(missing)}')
            self.backbone.load_state_dict(
                {name: weights.get(name, value) for name, value in own.items()}
            )
        self.head = nn.Linear(WIDTHS[encoder], 10)
        nn.init.trunc_normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` images in [0, 1] to ``(N, 10)`` scores."""
        return self.head(self.features(images)[-1])

    def features(self, images: Tensor) -> list[Tensor]:
        """Means over the positions of every feature map, ``(N, C_i)`` float32."""
        inputs = (images - MEAN.to(images.device)) / STD.to(images.device)
        with torch.autocast(images.device.type, torch.bfloat16):
            maps = self.backbone(inputs)
        return [part.float().mean((2, 3)) for part in maps]


@torch.no_grad()
def extract(model: Classifier, images: Tensor, batch: int = 100) -> list[Tensor]:
    """Features of ``(N, 3, H, W)`` uint8 images, ``(N, C_i)`` for each feature map."""
    model.eval()
    parts = [model.features(part.float() / 255) for part in images.split(batch)]
    return [torch.cat(feature) for feature in zip(*parts, strict=True)]


def frozen(model: Classifier, train: Images, test: Images) -> dict[str, float]:
    """Probes and neighbours: percent correct.

    ``probe_all`` and ``probe_last`` on the test images, from all feature maps and from the last;
    ``knn`` of the last; ``validation``: ``probe_all`` of the first three quarters of the training
    images on the fourth.
    """
    train = train[:PROBED]
    fitted, tested = extract(model, train.images), extract(model, test.images)
    labels, truth = train.labels.cpu(), test.labels.cpu()
    everything = [torch.cat(features, dim=1).cpu() for features in (fitted, tested)]
    last = [features[-1].cpu() for features in (fitted, tested)]
    part = len(labels) * 3 // 4

    def probe(features: Tensor, targets: Tensor, others: Tensor, expected: Tensor) -> float:
        return 100 * fit_linear_probe(features, targets).accuracy(others, expected)

    return dict(
        probe_all=probe(everything[0], labels, everything[1], truth),
        probe_last=probe(last[0], labels, last[1], truth),
        knn=100 * knn_accuracy(last[0], labels, last[1], truth),
        validation=probe(everything[0][:part], labels[:part], everything[0][part:], labels[part:]),
    )


@torch.no_grad()
def accuracy(model: Classifier, data: Images, batch: int = 100) -> float:
    """Percent correct."""
    model.eval()
    correct = sum(
        int((model(images.float() / 255).argmax(1) == labels).sum())
        for images, labels in zip(data.images.split(batch), data.labels.split(batch), strict=True)
    )
    return 100 * correct / len(data.labels)


def mixed(train: Images, seed: int) -> Tensor:
    """The places of all images in the order in which a share of the labels is taken."""
    return order(len(train.labels), seed, 1_000_000).to(train.labels.device)


def held_out(train: Images, seed: int) -> Images:
    """A tenth of the training images, which no share up to nine tenths has."""
    return train[mixed(train, seed)[-(len(train.labels) // 10) :]]


def finetune(
    model: Classifier,
    train: Images,
    share: float,
    epochs: int,
    seed: int,
    layer_decay: float,
    say: Callable[[str], None] = print,
) -> dict:
    """Train all of a classifier on a share of the labels.

    The share's images follow from the seed and are the same for every method.

    Args:
        model: The classifier; it is trained in place.
        train: The training images.
        share: Of the labels.
        epochs: How often each of its images is seen.
        seed: Of the share, the order and the crops.
        layer_decay: 1 for an encoder at random.
        say: Told how far it is.

    Returns:
        ``curve``: ``[epoch, mean loss]``; ``seconds``.
    """
    count = round(share * len(train.labels))
    train = train[mixed(train, seed)[:count]]
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(
                type='AdamW', lr=FINETUNE_LR, betas=(0.9, 0.999), weight_decay=0.05, fused=True
            ),
            constructor='LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=layer_decay, flat_decay_mult=0.0),
        ),
    )
    peaks = [group['lr'] for group in wrapper.optimizer.param_groups]
    per_epoch = max(1, count // FINETUNE_BATCH)
    model.train()
    curve, started = [], time.monotonic()
    for epoch in range(epochs):
        shuffled = order(count, seed, epoch).to(train.labels.device)
        total = 0.0
        for place in range(per_epoch):
            step = epoch * per_epoch + place
            factor = learning_rate(step, epochs * per_epoch)
            for group, peak in zip(wrapper.optimizer.param_groups, peaks, strict=True):
                group['lr'] = peak * factor
            images, labels = train[shuffled[place * FINETUNE_BATCH :][:FINETUNE_BATCH]]
            scores = model(augment(images, generator(seed, step, 5), area=(0.4, 1.0)))
            loss = F.cross_entropy(scores, labels, label_smoothing=0.1)
            wrapper.update_params(loss)
            total += loss.item()
        if not math.isfinite(total):
            raise FloatingPointError(f'the loss is {total / per_epoch} in epoch {epoch + 1}')
        curve.append([epoch + 1, total / per_epoch])
        say(f'epoch {epoch + 1} of {epochs}: {curve[-1][1]:.3f}')
    return dict(curve=curve, seconds=time.monotonic() - started)
