"""The head must have as many classes as the data."""

from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..class_names import OTHER_HEADS
from ..model_wrappers import unwrapped

HEADS = ('head', 'decode_head', 'auxiliary_head', 'data_preprocessor')
#: mmdet's; those that propose regions tell objects from the background alone.
DETECTION_HEADS = ('bbox_head', 'mask_head', 'roi_head.bbox_head', 'roi_head.mask_head')


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare the number of classes of a model's heads with the training set.

    The libraries do not do this by themselves: with too few classes mmpretrain and mmsegmentation
    stop with an index out of range in the first batch that has the label, and mmdet takes the last
    ones for background; with too many all train on.
    mmpretrain has a ``ClassNumCheckHook``, which none of its configs uses. It also refuses correct
    classifiers (a data preprocessor without mixup has ``num_classes=None``) and segmentors (their
    data sets have no ``CLASSES``). mmsegmentation has no such hook; mmdet has a
    ``NumClassCheckHook``, which few of its configs use, and which refuses models whose classes are
    words; where it is used, detectors are left to it. The data preprocessor's ``num_classes``,
    which mixup needs, is checked like that of a head. Sets with things and stuff are left alone.

    It also takes ranks that there are not out of mmpretrain's ``Accuracy``: top-5 of three classes
    ends a run with an error, after the first epoch.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare the numbers.

        Raises:
            ValueError: They differ; the message gives both numbers.
        """
        dataset = getattr(runner.train_dataloader, 'dataset', None)
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        if classes is None:
            return
        model = unwrapped(runner.model)
        for name in (*HEADS, *DETECTION_HEADS):
            part = model
            for step in name.split('.'):
                part = getattr(part, step, None)
            for head in part if isinstance(part, nn.ModuleList) else [part]:
                if type(head).__name__ in OTHER_HEADS:
                    continue
                count = getattr(head, 'num_classes', None)
                if count is not None and count > 0 and count != len(classes):
                    if name in DETECTION_HEADS and _is_detection_of_its_own(runner, dataset):
                        continue
                    raise ValueError(
                        f'model.{name}.num_classes is {count}, and the training set has '
                        f'{len(classes)} classes ({", ".join(map(str, classes[:3]))}, ...); set '
                        f'model.{name}.num_classes={len(classes)}, or look at the data root'
                    )
        if runner.val_loop is not None:
            _drop_ranks(runner, runner.val_loop.evaluator, len(classes))

    def before_test(self, runner: Runner) -> None:
        """Drop ranks that the data set has not enough classes for."""
        loop = runner.test_loop
        classes = (getattr(loop.dataloader.dataset, 'metainfo', None) or {}).get('classes')
        if classes is not None:
            _drop_ranks(runner, loop.evaluator, len(classes))


def _is_detection_of_its_own(runner: Runner, dataset: Any) -> bool:
    """Whether the number is of things without stuff, or of words, or mmdet's hook looks at it."""
    by_mmdet = any(type(hook).__name__ == 'NumClassCheckHook' for hook in runner.hooks)
    words = getattr(dataset, 'return_classes', False)
    return by_mmdet or words or 'thing_classes' in dataset.metainfo


def _drop_ranks(runner: Runner, evaluator: Evaluator, classes: int) -> None:
    for metric in evaluator.metrics:
        ranks = getattr(metric, 'topk', None)
        if isinstance(ranks, tuple) and max(ranks) > classes:
            metric.topk = tuple(k for k in ranks if k <= classes) or (1,)
            runner.logger.warning(
                f'there are {classes} classes: top-{max(ranks)} is left out of the scores'
            )
