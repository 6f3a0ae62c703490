"""Draws of a sample hang on (seed, epoch, index) and on nothing else."""

import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATA_SAMPLERS, DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from wamim_mm.data import seeding
from wamim_mm.data.seeding import EpochSampler, SampleIndex, SeededDataset, seed_draws, seeded


@DATASETS.register_module()
class Drawing(Dataset):
    """Samples that are their index and a number from each generator."""

    def __init__(self, size=24):
        self.size = size
        self.metainfo = dict(classes=('a', 'b'))

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        assert type(index) is int
        draws = (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
        return index, draws


def collate(samples):
    return samples


@pytest.fixture
def world(monkeypatch):
    """Return a function that pretends to be one of several processes."""

    def pretend(rank, size):
        for module in ('mmengine.dataset.sampler', 'mmpretrain.datasets.samplers.repeat_aug'):
            monkeypatch.setattr(f'{module}.get_dist_info', lambda: (rank, size))
        monkeypatch.setattr(seeding, 'get_dist_info', lambda: (rank, size))

    return pretend


def loader(num_workers=0, seed=0, batch_size=4, sampler=None, **kwargs):
    cfg = ConfigDict(
        dataset=dict(type='Drawing'),
        sampler=sampler or dict(type='DefaultSampler', shuffle=True),
        batch_size=batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=dict(type=collate),
        **kwargs,
    )
    seed_draws(cfg, seed)
    return Runner.build_dataloader(cfg, seed=0, diff_rank_seed=True)


def epoch(built, number):
    """All samples of an epoch, in their order."""
    built.sampler.set_epoch(number)
    return [sample for batch in built for sample in batch]


def test_an_index_is_a_number_that_travels():
    index = pickle.loads(pickle.dumps(SampleIndex(7, epoch=3, copy=1)))
    assert (index, index.epoch, index.copy) == (7, 3, 1)
    assert [10, 11, 12][SampleIndex(2, 0)] == 12 and np.arange(9)[SampleIndex(7, 0)] == 7


def test_generators_go_on_where_they_were():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = draw(), draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = draw()
    with seeded(0, 1, 2):
        inside = draw()
    assert (first, draw()) == expected
    with pytest.raises(KeyError), seeded(0, 1, 2):
        assert draw() == inside
        raise KeyError
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3), (0, 2, 1)):
        with seeded(*other):
            assert not set(draw()) & set(inside)


@pytest.mark.parametrize('num_workers', [2, 4])
def test_any_number_of_workers_draws_the_same(num_workers):
    alone, several = loader(0), loader(num_workers)
    for number in (0, 1, 2):
        assert epoch(several, number) == epoch(alone, number)


def test_epochs_seeds_and_samples_differ():
    found = [epoch(loader(seed=seed), number) for seed in (0, 1) for number in (0, 1)]
    draws = [draw for samples in found for _, sample in samples for draw in sample]
    assert len(set(draws)) == len(draws)
    assert len({tuple(index for index, _ in samples) for samples in found}) == 4


def test_an_epoch_can_be_entered_anywhere():
    """What was drawn before, by the loader or by others, does not matter."""
    through, resumed = loader(), loader()
    for number in (0, 1):
        epoch(through, number)
    np.random.rand(100)  # noqa: NPY002
    assert epoch(resumed, 2) == epoch(through, 2)


def test_processes_share_the_samples_of_one(world):
    alone = epoch(loader(batch_size=4), 1)
    parts = []
    for rank in (0, 1):
        world(rank, 2)
        parts.append(epoch(loader(batch_size=2), 1))
    together = [sample for pair in zip(*parts, strict=True) for sample in pair]
    assert together == alone


def test_an_infinite_sampler_counts_its_passes(world):
    sampler = dict(type='InfiniteSampler', shuffle=True)

    def first(count, **kwargs):
        batches = iter(loader(sampler=sampler, **kwargs))
        return [sample for _ in range(count) for sample in next(batches)]

    alone = first(12, batch_size=6)  # three passes
    draws = [draw for _, sample in alone for draw in sample]
    assert len(set(draws)) == len(draws)
    parts = []
    for rank in (0, 1):
        world(rank, 2)
        parts.append(first(12, batch_size=3))
    assert [s for pair in zip(*parts, strict=True) for s in pair] == alone


@pytest.mark.parametrize('processes', [1, 3])
def test_repeated_augmentations_differ(world, processes):
    sampler = dict(type='mmpretrain.RepeatAugSampler')
    found = []
    for rank in range(processes):
        world(rank, processes)
        found += epoch(loader(sampler=sampler), 0)
    counts = Counter(index for index, _ in found)
    assert max(counts.values()) == 3 or processes == 1
    draws = [draw for _, sample in found for draw in sample]
    assert len(set(draws)) == len(draws)


def test_batch_samplers_and_what_asks_the_dataset():
    pytest.importorskip('mmdet')
    dataset = SeededDataset(dict(type='Drawing'), seed=0)
    assert dataset.metainfo == Drawing().metainfo and dataset.size == len(dataset) == 24
    assert pickle.loads(pickle.dumps(dataset))[3] == dataset[3]
    dataset.pipeline = 'another'  # as hooks that change recipes do
    assert dataset.dataset.pipeline == dataset.pipeline == 'another'
    with pytest.raises(AttributeError, match='nothing'):
        dataset.nothing  # noqa: B018
    sampler = EpochSampler(dataset, dict(type='DefaultSampler', shuffle=False), seed=0)
    assert sampler.dataset is dataset and len(sampler) == 24


def test_a_config_is_wrapped():
    cfg = ConfigDict(
        dataset=dict(type='Drawing'), sampler=dict(type='DefaultSampler', shuffle=True)
    )
    seed_draws(cfg, 5, 'bad.txt')
    assert cfg.to_dict() == dict(
        sampler=dict(
            type='EpochSampler', sampler=dict(type='DefaultSampler', shuffle=True), seed=5
        ),
        dataset=dict(
            type='SeededDataset', dataset=dict(type='Drawing'), seed=5, bad_files='bad.txt'
        ),
    )
    without = ConfigDict(dataset=dict(type='Drawing'), sampler=None)
    seed_draws(without, 5)
    assert without.dataset.type == 'Drawing'


@DATA_SAMPLERS.register_module()
class Balancing:
    """Draws one index again and again, as samplers that balance classes do."""

    def __init__(self, dataset, seed):
        assert isinstance(dataset, Drawing)  # some samplers check
        self.indices = [np.int64(3), 3, 5, 3, 5, (1, 2)]

    def __iter__(self):
        return iter(self.indices)

    def __len__(self):
        return len(self.indices)


def test_an_index_drawn_again_is_another_sample():
    """And what is no index passes through."""
    built = loader(sampler=dict(type='Balancing'), batch_size=1)
    drawn = list(built.sampler)
    assert drawn == [3, 3, 5, 3, 5, (1, 2)] and type(drawn[-1]) is tuple
    found = [built.dataset[index] for index in drawn[:-1]]
    draws = [draw for _, sample in found for draw in sample]
    assert len(set(draws)) == len(draws)


def test_a_run_of_iterations_may_skip():
    """Where the other sampler can, as the maintained fork's does; samples are those of no stop."""
    sampler = dict(type='InfiniteSampler', shuffle=True)
    through, resumed = iter(loader(sampler=sampler)), loader(sampler=sampler)
    if not hasattr(resumed.sampler.sampler, 'skip'):
        assert not hasattr(resumed.sampler, 'skip')
        return
    resumed.sampler.skip(4 * 8)
    expected = [next(through) for _ in range(12)][8:]
    batches = iter(resumed)
    assert [next(batches) for _ in range(4)] == expected


def test_whole_batches_are_not_fetched_past_the_seeds():
    """A data set's own way to a batch would know no seeds; it may fetch bytes beforehand."""
    dataset = SeededDataset(dict(type='Drawing'), seed=0)
    dataset.dataset.__getitems__ = lambda indices: [None for _ in indices]
    asked = []
    dataset.dataset.fetch = asked.append
    indices = [SampleIndex(place, 1) for place in (3, 1)]
    assert dataset.__getitems__(indices) == [dataset[index] for index in indices]
    assert asked == [indices]
