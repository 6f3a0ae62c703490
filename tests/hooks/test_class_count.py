"""ClassCountHook compares a head's classes with the training set's."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.engine.hooks import NumClassCheckHook
from mmengine.evaluator import Evaluator
from mmpretrain.engine import ClassNumCheckHook
from mmpretrain.evaluation import Accuracy
from mmpretrain.models import ClsDataPreprocessor, LinearClsHead
from mmseg.datasets import BaseSegDataset
from mmseg.models import FCNHead
from torch import nn

from wamim_mm.hooks.class_count import ClassCountHook


def check(model, classes=('a', 'b', 'c'), things=None, return_classes=False, hooks=()):
    metainfo = dict(classes=classes) | (dict(thing_classes=things) if things else {})
    dataset = SimpleNamespace(metainfo=metainfo, return_classes=return_classes)
    loader = SimpleNamespace(dataset=dataset)
    runner = SimpleNamespace(model=model, train_dataloader=loader, val_loop=None, hooks=hooks)
    ClassCountHook().before_train(runner)


def classifier(head, preprocessor):
    return nn.ModuleDict(
        dict(
            head=LinearClsHead(head, 4),
            data_preprocessor=ClsDataPreprocessor(num_classes=preprocessor),
        )
    )


def segmentor(decode, auxiliary):
    heads = [FCNHead(in_channels=4, channels=4, num_classes=n, num_convs=1) for n in auxiliary]
    head = FCNHead(in_channels=4, channels=4, num_classes=decode, num_convs=1)
    return nn.ModuleDict(dict(decode_head=head, auxiliary_head=nn.ModuleList(heads)))


def detector(boxes, masks=None, **names):
    parts = dict(bbox_head=nn.Module(), mask_head=nn.Module(), rpn_head=nn.Module())
    parts['bbox_head'].num_classes, parts['mask_head'].num_classes = boxes, masks or boxes
    parts['rpn_head'].num_classes = 1
    return nn.ModuleDict(dict(roi_head=nn.ModuleDict(parts), **names))


class STDCHead(FCNHead):
    """Predicts edges."""


def test_heads_of_detectors():
    """mmdet takes a class that its head has not for the background, without a word."""
    check(detector(3))
    for model, message in (
        (detector(2), r'model\.roi_head\.bbox_head\.num_classes is 2, .* 3 classes'),
        (detector(80), r'model\.roi_head\.bbox_head\.num_classes is 80'),
        (detector(3, masks=4), r'model\.roi_head\.mask_head\.num_classes is 4'),
        (
            detector(3, bbox_head=detector(1).roi_head.bbox_head),
            r'model\.bbox_head\.num_classes is 1',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            check(model)
    # Of things and stuff the heads know the things; models of words have places for 256.
    check(detector(80), things=('a', 'b'))
    check(detector(256), return_classes=True)
    check(detector(80), hooks=[NumClassCheckHook()])  # which says it in its own words


def test_heads_of_something_else():
    model = segmentor(3, [3])
    model.auxiliary_head.append(STDCHead(in_channels=4, channels=4, num_classes=2, num_convs=1))
    check(model)


def test_equal_numbers_pass():
    check(classifier(3, 3))
    check(classifier(3, None))
    check(segmentor(3, [3, 3]))
    check(nn.ModuleDict(dict(head=nn.Linear(2, 2))))  # of pre-training
    check(classifier(5, 5), classes=None)  # a data set without names


def test_why_mmpretrains_hook_will_not_do():
    """It refuses a classifier without mixup and every segmentor; ours can go when it does not."""
    dataset = SimpleNamespace(CLASSES=('a', 'b', 'c'), metainfo=dict(classes=('a', 'b', 'c')))
    runner = SimpleNamespace(
        model=classifier(3, None), train_dataloader=SimpleNamespace(dataset=dataset)
    )
    with pytest.raises(AssertionError, match=r'num_classes` \(None\) in ClsDataPreprocessor'):
        ClassNumCheckHook().before_train(runner)
    assert not hasattr(BaseSegDataset, 'CLASSES')


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (classifier(5, 3), r'model\.head\.num_classes is 5.* 3 classes \(a, b, c'),
        (classifier(3, 1000), r'model\.data_preprocessor\.num_classes is 1000'),
        (segmentor(2, [3]), r'model\.decode_head\.num_classes is 2'),
        (segmentor(3, [3, 4]), r'model\.auxiliary_head\.num_classes is 4'),
    ],
)
def test_other_numbers_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        check(model)


@pytest.mark.parametrize(
    ('topk', 'classes', 'kept'), [((1, 5), 3, (1,)), ((5,), 3, (1,)), ((1, 5), 5, (1, 5))]
)
def test_ranks_that_there_are_not_are_left_out(topk, classes, kept):
    """In training and in testing; the metric then scores without an error."""
    dataset = SimpleNamespace(metainfo=dict(classes=tuple(map(str, range(classes)))))
    warned = []
    for moment in ('before_train', 'before_test'):
        metric = Accuracy(topk=topk)
        loop = SimpleNamespace(
            evaluator=Evaluator(metric), dataloader=SimpleNamespace(dataset=dataset)
        )
        runner = SimpleNamespace(
            model=classifier(classes, None),
            train_dataloader=loop.dataloader,
            val_loop=loop,
            test_loop=loop,
            logger=SimpleNamespace(warning=warned.append),
        )
        getattr(ClassCountHook(), moment)(runner)
        assert metric.topk == kept
        scores = torch.eye(classes)
        metric.compute_metrics(
            [dict(pred_score=s, gt_label=torch.tensor([i])) for i, s in enumerate(scores)]
        )
    assert len(warned) == (2 if kept != topk else 0)
