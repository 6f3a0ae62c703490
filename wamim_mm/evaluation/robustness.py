"""Robustness of classifiers: mean corruption error, class subsets, a test loop over data sets."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from mmengine.registry import LOOPS
from mmengine.runner import TestLoop
from mmpretrain.evaluation import Accuracy
from mmpretrain.registry import METRICS
from torch import nn

from ..imagenet_c import ALEXNET_ERRORS, CORRUPTIONS, SEVERITIES
from ..model_wrappers import unwrapped


def mean_error(top1: Mapping[str, Mapping[int, float]]) -> float:
    """Mean over the corruptions of the mean error over the severities, not normalized, in %.

    Args:
        top1: Top-1 accuracy in %, by corruption and severity.
    """
    return fmean([100 - fmean(by_severity.values()) for by_severity in top1.values()])


def mean_corruption_error(top1: Mapping[str, Mapping[int, float]]) -> float:
    """ImageNet-C's mCE in %: each corruption's error is divided by AlexNet's, then averaged.

    Args:
        top1: Top-1 accuracy in %, by corruption (all 15) and severity (all 5).

    Raises:
        ValueError: Corruptions or severities are not those of the benchmark.
    """
    if set(top1) != set(ALEXNET_ERRORS):
        differ = sorted(set(top1) ^ set(ALEXNET_ERRORS))
        raise ValueError(f'mCE is over the 15 corruptions of ImageNet-C; they differ in {differ}')
    for corruption, by_severity in top1.items():
        if sorted(by_severity) != [*SEVERITIES]:
            raise ValueError(f'mCE is over severities 1 to 5, {corruption} has {[*by_severity]}')
    return 100 * fmean(
        [(100 - fmean(top1[name].values())) / error for name, error in ALEXNET_ERRORS.items()]
    )


def folder_classes(folder: Path, count: int) -> list[int]:
    """Which of the 1000 outputs of an ImageNet-1K classifier belong to the class folders.

    Outputs are in the order of the sorted WordNet ids, after which ImageNet's folders are named.

    Args:
        folder: Holds the class folders.
        count: How many the benchmark has.

    Returns:
        One index for each folder, in the order of the sorted names.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It has more or fewer class folders, or one not named after a class.
        ImportError: timm, whose list of the ids is used, is not installed.
    """
    order = _imagenet_order()
    if not folder.is_dir():
        raise FileNotFoundError(f'{str(folder)!r} does not exist')
    wnids = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(wnids) != count:
        raise ValueError(
            f'{str(folder)!r} has {len(wnids)} class folders, and the benchmark {count} classes; '
            'is the download complete?'
        )
    unknown = [repr(wnid) for wnid in wnids if wnid not in order]
    if unknown:
        raise ValueError(
            f'{str(folder)!r}: {len(unknown)} folders are not named after a class of ImageNet-1K, '
            f"such as 'n01440764': {', '.join(unknown[:5])}"
        )
    return [order[wnid] for wnid in wnids]


def check_head(model: nn.Module, classes: int) -> None:
    """Raise ValueError unless the classifier has as many classes as the data."""
    classifier = unwrapped(model)
    count = getattr(getattr(classifier, 'head', None), 'num_classes', None)
    if count is None:
        name = type(classifier).__name__
        raise ValueError(f'{name} has no classification head (head.num_classes)')
    if count != classes:
        raise ValueError(f'model.head.num_classes is {count}, and the data has {classes} classes')


def summarize(on: str, top1: dict[str, float]) -> dict:
    """What is written: accuracies and errors in %; ``mce`` where AlexNet's numbers apply."""
    if on not in ('imagenet-c', 'corruptions'):
        return {'on': on, 'top1': top1[on]}
    corruptions: dict[str, dict[int, float]] = {}
    for name, value in top1.items():
        if name != 'clean':
            corruption, severity = name.split('/')
            corruptions.setdefault(corruption, {})[int(severity)] = value
    comparable = on == 'imagenet-c' and len(corruptions[CORRUPTIONS[0]]) == len(SEVERITIES)
    return {
        'on': on,
        'clean': {'top1': top1['clean']} if 'clean' in top1 else None,
        'corruptions': corruptions,
        'mean_error': mean_error(corruptions),
        'mce': mean_corruption_error(corruptions) if comparable else None,
    }


def table(result: dict) -> str:
    """The result for people: top-1 by corruption and severity, and the mean error."""
    if 'top1' in result:
        return f'{result["on"]}: top-1 {result["top1"]:.2f} %'
    severities = next(iter(result['corruptions'].values()))
    lines = [f'{"top-1, %":18}' + ''.join(f'{s:8}' for s in severities) + '   error']
    for name, top1 in result['corruptions'].items():
        cells = ''.join(f'{value:8.2f}' for value in top1.values())
        lines.append(f'{name:18}{cells}{mean_error({name: top1}):8.2f}')
    if result['clean']:
        lines.append(f'clean: top-1 {result["clean"]["top1"]:.2f} %')
    mean = f'mean error {result["mean_error"]:.2f} %'
    if result['mce'] is not None:
        lines.append(f'{mean}; mCE {result["mce"]:.2f} % (normalized by AlexNet)')
    elif result['on'] == 'imagenet-c':
        lines.append(f'{mean}, not normalized: mCE needs all five severities')
    else:
        lines.append(f"{mean}, not normalized: AlexNet's numbers are for ImageNet-C")
    return '\n'.join(lines)


@METRICS.register_module()
class SubsetAccuracy(Accuracy):
    """Top-1 in a data set that has some of the classifier's classes: the others cannot win.

    This is how ImageNet-A and ImageNet-R are scored (arXiv 1907.07174, 2006.16241).

    Args:
        classes: ``classes[label]`` is the classifier's output for the data set's ``label``.
    """

    def __init__(self, classes: Sequence[int], **kwargs) -> None:
        super().__init__(topk=1, **kwargs)
        self.classes = list(classes)

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the scores of the classes and the label of every sample."""
        kept = [dict(s, pred_score=s['pred_score'][self.classes]) for s in data_samples]
        super().process(data_batch, kept)


@LOOPS.register_module()
class DatasetsTestLoop(TestLoop):
    """Test on several data sets, with the workers and batches of the config's ``test_dataloader``.

    ``datasets``, configs by name, is set before the run and is not part of the config: 75 of them
    would make the logged config unreadable.
    ``Runner.test`` then returns the metrics by name.
    """

    datasets: Mapping[str, dict]

    def run(self) -> dict[str, dict]:
        """Test on one data set after another."""
        metrics: dict[str, dict] = {}
        for name, dataset in self.datasets.items():
            self.runner.logger.info(f'data set {len(metrics) + 1}/{len(self.datasets)}: {name}')
            loader = dict(self.runner.cfg.test_dataloader, dataset=dataset)
            self.dataloader = self.runner.build_dataloader(loader, seed=self.runner.seed)
            metrics[name] = super().run()
        return metrics


@cache
def _imagenet_order() -> dict[str, int]:
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise ImportError('the class ids of ImageNet come from timm (pip install timm)') from error
    return {wnid: i for i, wnid in enumerate(ImageNetInfo('imagenet-1k').label_names())}
