"""Linear probe: how well a linear classifier reads the classes off a frozen encoder's features."""

import copy
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.runner import set_random_seed
from mmpretrain.models import BaseSelfSupervisor
from mmpretrain.registry import DATASETS
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..class_names import drop_pretrained
from ..data.checks import build_dataset
from ..data.classes import TrainedClasses, check_training_folders, name_folders
from ..data.corruptions import corrupted
from ..data.images import centre_crop_pipeline
from ..image_files import SUFFIXES
from ..models.features import mean_features
from .models import build_model

__all__ = [
    'LinearProbe',
    'build_encoder',
    'extract_features',
    'fit_linear_probe',
    'split_loader',
]


def build_encoder(cfg: Config, seed: int) -> BaseSelfSupervisor:
    """The config's model at random initialization, its backbone yielding feature maps."""
    set_random_seed(seed)
    cfg = copy.deepcopy(cfg)
    drop_pretrained(cfg.model)
    model = build_model(cfg)
    model.init_weights()
    # Those with a class token have several kinds of output. A classifier's has a norm of its own
    # for its kind, so that the model is built as its checkpoint has it.
    if 'featmap' in getattr(model.backbone, 'OUT_TYPES', ()):
        model.backbone.out_type = 'featmap'
    return model.to('cuda' if torch.cuda.is_available() else 'cpu')


def split_loader(
    split: str,
    data_root: str,
    size: tuple[int, int],
    batch_size: int,
    corruption: tuple[str, int] | None = None,
    classes: Sequence[str] | None = None,
    like: Sequence[dict] = (),
) -> DataLoader:
    """Labelled images of a split in class folders, resized to the encoder's input.

    Args:
        split: A folder of ``data_root``, with a folder for each class.
        data_root: Where the splits lie.
        size: Height and width of the encoder's input.
        batch_size: Images in a batch.
        corruption: One of ImageNet-C's, and its severity; None for images as they are.
        classes: Names of the folders that the probe is fitted to, in the order of their labels;
            None for the split that it is fitted to.
        like: The pipeline of the pre-training, whose way to read files is taken.

    Raises:
        FileNotFoundError: There are no class folders, or no images in them.
        ImportError: A corruption is asked for, and its package is not installed.
        ValueError: A folder is none of these classes; or, in the split to fit to, no class can be
            meant by it; or a corruption is asked for, and the images are not colour of 8 bits.
    """
    pipeline = centre_crop_pipeline(size, like)
    if corruption:
        pipeline = corrupted(pipeline, *corruption)
    config = dict(
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix=split,
        pipeline=pipeline,
        extensions=SUFFIXES,
    )
    if classes is not None:
        name_folders(config, TrainedClasses(classes), 'mmpretrain')
    data, _ = build_dataset(partial(DATASETS.build, config), split, config, 'mmpretrain')
    if classes is None:
        check_training_folders(data)
    if corruption:
        data[0]  # images that cannot be corrupted are refused now
    sampler = DefaultSampler(data, shuffle=False, seed=0)  # without one it draws a random number
    return DataLoader(data, batch_size, sampler=sampler, collate_fn=default_collate)


def extract_features(
    models: Sequence[BaseSelfSupervisor], batches: Iterable[dict]
) -> tuple[list[Tensor], Tensor]:
    """Means over the positions of the encoders' feature maps, one after another.

    All of ``out_indices`` are used and not only the last: WaMIM trains each of them, and dense
    tasks use each of them.

    Args:
        models: Self-supervised models of mmpretrain; their backbones yield feature maps.
        batches: What a data loader with labels yields; one pass serves all models.

    Returns:
        For each model ``(N, C)`` float features, ``C`` summed over the feature maps; and ``(N,)``
        int64 labels. All are on the CPU.
    """
    features: list[list[Tensor]] = [[] for _ in models]
    labels = []
    for batch in batches:
        for model, collected in zip(models, features, strict=True):
            collected.append(torch.cat(mean_features(model, batch), dim=1).cpu())
        labels += [sample.gt_label for sample in batch['data_samples']]
    return [torch.cat(collected) for collected in features], torch.cat(labels).cpu()


class LinearProbe(NamedTuple):
    """A linear classifier of standardized features."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """The share of correct samples, 0 to 1, from ``(N, C)`` features and ``(N,)`` labels."""
        scores = (features - self.mean) / self.std @ self.weight + self.bias
        return (scores.argmax(1) == labels).float().mean().item()


def fit_linear_probe(
    features: Tensor,
    labels: Tensor,
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1),
) -> LinearProbe:
    """Multinomial logistic regression on standardized features.

    The weight of its L2 penalty is chosen on every fifth training sample, so that it does not
    depend on the test samples. Then the regression is fitted to all training samples.

    Args:
        features: ``(N, C)`` float features of the training samples.
        labels: ``(N,)`` their int64 labels.
        penalties: Weights to choose from.
    """
    std, mean = torch.std_mean(features, dim=0)
    std = std.clamp(min=1e-6)
    held_out = torch.arange(len(features)) % 5 == 0

    def fit(part: Tensor, penalty: float) -> LinearProbe:
        x = (features[part] - mean) / std
        return LinearProbe(mean, std, *_logistic_regression(x, labels[part], penalty))

    best = max(
        penalties, key=lambda p: fit(~held_out, p).accuracy(features[held_out], labels[held_out])
    )
    return fit(torch.ones_like(held_out), best)


def _logistic_regression(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Minimize the mean cross entropy plus ``penalty / 2`` times the squared weights."""
    weight = torch.zeros(x.shape[1], int(y.max()) + 1, requires_grad=True)
    bias = torch.zeros(weight.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn='strong_wolfe')

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()
