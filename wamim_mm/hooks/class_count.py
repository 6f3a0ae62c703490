"""The head must have as many classes as the data."""

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..model_wrappers import unwrapped

HEADS = ('head', 'decode_head', 'auxiliary_head', 'data_preprocessor')


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare the number of classes of a classifier's or segmentor's heads with the training set.

    mmpretrain and mmsegmentation do not do this by themselves: with too few classes they stop with
    an index out of range in the first batch that has the label, with too many they train on.
    mmpretrain has a ``ClassNumCheckHook``, which none of its configs uses. It also refuses correct
    classifiers (a data preprocessor without mixup has ``num_classes=None``) and segmentors (their
    data sets have no ``CLASSES``). mmsegmentation has no such hook; mmdet has
    ``NumClassCheckHook``, and uses it in its configs. The data preprocessor's ``num_classes``,
    which mixup needs, is checked like that of a head.

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
        for name in HEADS:
            part = getattr(model, name, None)
            for head in part if isinstance(part, nn.ModuleList) else [part]:
                count = getattr(head, 'num_classes', None)
                if count is not None and count > 0 and count != len(classes):
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


def _drop_ranks(runner: Runner, evaluator: Evaluator, classes: int) -> None:
    for metric in evaluator.metrics:
        ranks = getattr(metric, 'topk', None)
        if isinstance(ranks, tuple) and max(ranks) > classes:
            metric.topk = tuple(k for k in ranks if k <= classes) or (1,)
            runner.logger.warning(
                f'there are {classes} classes: top-{max(ranks)} is left out of the scores'
            )
