"""A validation that a kill cuts off is made up for by the run that goes on."""

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop

from wamim_mm.hooks import MissedValidationHook

from ..small_runs import Line, Numbers, small_run


class Predicting(Line):
    """Gives its weight as its prediction."""

    def forward(self, inputs, mode='loss'):
        if mode == 'loss':
            return super().forward(inputs)
        return [{'weight': self.layers[0].weight.item()}]


class Weight(BaseMetric):
    """The weight is the score; of so many validations the last is cut off."""

    def __init__(self, validations=100):
        super().__init__()
        self.left = validations

    def process(self, data_batch, data_samples):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        self.results += data_samples

    def compute_metrics(self, results):
        return {'weight': results[0]['weight']}


class Scores(Hook):
    """Notes after which epoch or iteration a run was scored, and how."""

    def __init__(self):
        self.scores = {}

    def after_val_epoch(self, runner, metrics=None):
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self.scores[runner.epoch if by_epoch else runner.iter] = metrics['weight']


def run(work_dir, length, metric, hooks=(), resume=False, **options):
    """The scores of a run; of the validations that were complete, where one was cut off."""
    noted = Scores()
    try:
        small_run(
            work_dir,
            [],
            length,
            lr=0.01,
            model=Predicting(),
            hooks=[noted, *hooks, MissedValidationHook()],
            val_dataloader={
                'dataset': Numbers(1),
                'batch_size': 1,
                'num_workers': 0,
                'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            },
            val_cfg={},
            val_evaluator=Evaluator([metric]),
            resume=resume,
            **options,
        )
    except KeyboardInterrupt:
        assert not resume
    return noted.scores


@pytest.mark.parametrize(
    ('length', 'places'),
    [
        ({'max_epochs': 3}, [1, 2, 3]),
        ({'max_epochs': 5, 'val_interval': 2}, [2, 4, 5]),
        ({'max_epochs': 3, 'val_begin': 2}, [2, 3]),
        ({'max_epochs': 4, 'val_interval': 4, 'dynamic_intervals': [(3, 1)]}, [2, 3, 4]),
        ({'max_iters': 6, 'val_interval': 4}, [4, 6]),
    ],
)
def test_every_score_is_that_of_an_unbroken_run(tmp_path, length, places):
    whole = run(tmp_path / 'whole', length, Weight())
    assert list(whole) == places
    for place in range(1, len(places) + 1):
        work_dir = tmp_path / f'cut {place}'
        before = run(work_dir, length, Weight(validations=place))
        assert list(before) == places[: place - 1]
        after = run(work_dir, length, Weight(), resume=True)
        assert list(after) == places[place - 1 :]
        assert before | after == whole


def test_no_other_place_is_scored(tmp_path):
    """A checkpoint between two validations, or inside an epoch."""
    length = {'max_epochs': 4, 'val_interval': 2}
    run(tmp_path, length, Weight())
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    assert list(run(tmp_path, length, Weight(), resume=True)) == [4]

    inside = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    inside['meta']['iter'] += 1
    torch.save(inside, tmp_path / 'epoch_2.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    assert list(run(tmp_path, length, Weight(), resume=True)) == [4]


def test_the_best_checkpoint_is_not_lost(tmp_path):
    """The score that was cut off is the best one."""

    def best():
        return sorted(path.name for path in tmp_path.glob('best_*'))

    length, least = {'max_epochs': 3}, dict(interval=-1, save_best='weight', rule='less')
    run(tmp_path, length, Weight(validations=3), hooks=[CheckpointHook(**least)])
    assert best() == ['best_weight_epoch_2.pth']
    run(tmp_path, length, Weight(), hooks=[CheckpointHook(**least)], resume=True)
    assert best() == ['best_weight_epoch_3.pth']
