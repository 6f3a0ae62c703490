"""What the encoder's features say of classes, while it trains."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dataset import default_collate
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ..data.images import train_pipeline
from ..image_files import spread
from ..models import MFM, WaMIM
from ..models.features import mean_features, whole_model
from .linear_probe import fit_linear_probe, split_loader
from .models import input_size
from .nearest_neighbours import knn_accuracy

BATCH = 64


@HOOKS.register_module()
class ProbeHook(Hook):
    """Score the encoder on labelled images: by a linear probe, and by its nearest neighbours.

    ``probe/linear`` and ``probe/knn``, in percent, go to the run's visualizers, before the first
    step, after the last, and every so often between. The first process scores, the weights of the
    moment; the training takes the same steps as without. What the scores are: `fit_linear_probe`
    and `knn_accuracy`, of the means of all feature maps and of the last.

    Args:
        data: Class folders, ``data/train/<class>/`` and ``data/val/<class>/``.
        interval: Steps between two probes.
        images: So many of each split at most, from all classes alike. They stay in memory.
        most_time: Share of the run's time: a probe between the first and the last is left out
            where it would take more.

    Raises:
        ValueError: An argument is out of range; or the model is neither WaMIM nor MFM, is sharded,
            or a class of val/ is not in train/, at the start of the training.
        FileNotFoundError: There are no class folders, at the same time.
    """

    priority = 'LOW'

    def __init__(
        self, data: str, interval: int = 1000, images: int = 600, most_time: float = 0.05
    ) -> None:
        if interval < 1 or images < 20 or not 0 < most_time <= 1:
            raise ValueError(
                'ProbeHook: interval must be 1 or more, images 20 or more and most_time in (0, 1], '
                f'got {interval}, {images} and {most_time}'
            )
        self.data = data
        self.interval = interval
        self.images = images
        self.most_time = most_time
        self._probed = -1  # the step of the last one
        self._seconds: list[float] = []

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Read the images, and score the encoder as it is."""
        model = self._model(runner)
        size, like = input_size(model), train_pipeline(runner.cfg)
        train = split_loader('train', self.data, size, BATCH, like=like)
        fitted: Any = train.dataset  # torch's type of data sets has neither classes nor length
        val = split_loader('val', self.data, size, BATCH, classes=fitted.CLASSES, like=like)
        self._batches = [list(self._some(loader.dataset)) for loader in (train, val)]
        self._started = time.perf_counter()
        self._probe(runner, runner.iter)

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, *args, **kwargs) -> None:
        """Score it, every so often."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        elapsed = time.perf_counter() - self._started
        if sum(self._seconds) + self._seconds[-1] <= self.most_time * elapsed:
            self._probe(runner, runner.iter + 1)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Score the last weights."""
        if self._probed != runner.iter:
            self._probe(runner, runner.iter)

    def _model(self, runner: Runner) -> WaMIM | MFM:
        model = whole_model(runner.model)
        if model is None:
            raise ValueError(
                f'ProbeHook: it scores the encoders of WaMIM and MFM, whole on one process, not '
                f'{type(runner.model).__name__}'
            )
        return model

    def _some(self, data: Any) -> Iterator[dict]:
        """Batches of images that are spread over a data set, which is sorted by class."""
        places = spread(len(data), self.images)
        for first in range(0, len(places), BATCH):
            yield default_collate([data[place] for place in places[first : first + BATCH]])

    def _features(self, runner: Runner, batches: list[dict]) -> tuple[list[Tensor], Tensor]:
        model = self._model(runner)
        found = [mean_features(model, dict(batch)) for batch in batches]
        labels = [sample.gt_label for batch in batches for sample in batch['data_samples']]
        outputs = [torch.cat(parts).float().cpu() for parts in zip(*found, strict=True)]
        return outputs, torch.cat(labels)

    def _probe(self, runner: Runner, step: int) -> None:
        started = time.perf_counter()
        (train, labels), (val, truth) = (
            self._features(runner, batches) for batches in self._batches
        )
        probe = fit_linear_probe(torch.cat(train, 1), labels)
        neighbours = min(20, len(labels))
        scores = {
            'probe/linear': 100 * probe.accuracy(torch.cat(val, 1), truth),
            'probe/knn': 100 * knn_accuracy(train[-1], labels, val[-1], truth, neighbours),
        }
        self._probed = step
        self._seconds.append(time.perf_counter() - started)
        runner.visualizer.add_scalars(scores, step=step)
        runner.logger.info(
            f'probe after {step} steps: {scores["probe/linear"]:.1f} % linear, '
            f'{scores["probe/knn"]:.1f} % by {neighbours} neighbours ({self._seconds[-1]:.1f} s)'
        )
