"""Every random draw of a sample comes from (seed, epoch, index) alone.

MMEngine seeds the data workers. Then a sample depends on the number of workers and of processes,
and a resumed run repeats the draws from the beginning of the run. Here the sampler gives the epoch
with each index, and the dataset seeds the generators of Python, NumPy and torch for each sample. So
a run can be resumed without stored states of generators.

A sample whose file is bad is replaced by another one, which hangs on (seed, epoch, index) too.
"""

import random
import warnings
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import BatchSampler, Dataset, Sampler

from .bad_files import BadFiles, BadImage, find_fault

__all__ = [
    'EpochSampler',
    'LaterBatchSampler',
    'SampleIndex',
    'SeededDataset',
    'seed_draws',
    'seed_generators',
]

#: After so many bad files in a row, the data are at fault as a whole.
TRIES = 16


class SampleIndex(int):
    """An index into a dataset that knows its epoch.

    Attributes:
        epoch: How many passes over the whole dataset came before.
        copy: 0, 1, ... where a sampler gives the same index several times in an epoch.
    """

    epoch: int
    copy: int

    def __new__(cls, index: int, epoch: int, copy: int = 0) -> 'SampleIndex':
        """An int cannot take its attributes in ``__init__``, so they are set here."""
        self = super().__new__(cls, index)
        self.epoch, self.copy = epoch, copy
        return self

    def __reduce__(self) -> tuple:
        return SampleIndex, (int(self), self.epoch, self.copy)


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Wraps another sampler, so that its indices know their epoch (`SampleIndex`).

    Args:
        dataset: The dataset.
        sampler: Config of the sampler, one that distributes its indices over the processes in
            turn. What is no number, such as the pairs of mmdet's ``TrackImgSampler``, passes
            through unchanged, and its draws are MMEngine's.
        seed: Seed of the order.
    """

    def __init__(self, dataset: Sized, sampler: dict, seed: int) -> None:
        self.dataset = dataset
        # Samplers add the epoch to their seed: the order of seed 0 in epoch 1 would be that of
        # seed 1 in epoch 0.
        seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        # Some samplers check the class of their dataset.
        inner = dataset.dataset if isinstance(dataset, SeededDataset) else dataset
        self.sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=inner, seed=seed))
        self.epoch = 0
        self.skipped = 0
        #: How many indices of this process the next iteration leaves out.
        self.start = 0
        if hasattr(self.sampler, 'skip'):
            self.skip = self._skip

    def __iter__(self) -> Iterator[Any]:
        """Iterate the indices of this process."""
        rank, world_size = get_dist_info()
        once = isinstance(self.sampler, DefaultSampler | InfiniteSampler)
        repeats = getattr(self.sampler, 'num_repeats', 1)
        start, self.start = self.start, 0
        for i, index in enumerate(islice(self.sampler, start, None), self.skipped + start):
            if not isinstance(index, Integral):
                yield index
                continue
            position = i * world_size + rank
            # An infinite sampler goes through the dataset again and again.
            passes, place = divmod(position, repeats * len(self.dataset))
            # Samplers that balance classes draw an index several times in a pass.
            copy = 0 if once else place % repeats if repeats > 1 else place
            yield SampleIndex(int(index), self.epoch + passes, copy)

    def _skip(self, num_samples: int) -> None:
        """Start after so many indices of this process, as a resumed run of iterations does.

        There only where the other sampler has such a method: MMEngine asks.
        """
        self.sampler.skip(num_samples)
        self.skipped = num_samples

    def __len__(self) -> int:
        """The number of samples of this process."""
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; ``DistSamplerSeedHook`` calls it."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)


@DATA_SAMPLERS.register_module()
class LaterBatchSampler(BatchSampler):
    """Wraps another batch sampler, such as mmdet's by aspect ratio, and can begin inside an epoch.

    Batches that are left out are only put together, no image of theirs is read.

    Args:
        sampler: Of the indices.
        batch_size: Images of a batch.
        batch_sampler: Config of the other batch sampler.
    """

    def __init__(self, sampler: Sampler, batch_size: int, batch_sampler: dict) -> None:
        given = dict(sampler=sampler, batch_size=batch_size)
        self.batches = DATA_SAMPLERS.build(batch_sampler, default_args=given)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = getattr(self.batches, 'drop_last', False)
        #: How many batches of this process the next iteration leaves out.
        self.start = 0

    def __iter__(self) -> Iterator[list[Any]]:
        """Iterate the batches of this process."""
        start, self.start = self.start, 0
        yield from islice(self.batches, start, None)

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        return len(self.batches)


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Wraps another dataset; generators are seeded with (seed, epoch, index) for each sample.

    A sample whose image, or label map, is bad is replaced by one at random. All attributes are
    those of the other dataset: hooks read its classes and change its pipeline.

    Args:
        dataset: Config of the dataset.
        seed: Seed of all draws.
        bad_files: The list to which bad files are added (`BadFiles`); None for no list.
    """

    def __init__(self, dataset: dict, seed: int, bad_files: str | None = None) -> None:
        vars(self).update(
            dataset=DATASETS.build(dataset),
            seed=seed,
            bad_files=None if bad_files is None else BadFiles(bad_files),
        )
        for bad in getattr(self.dataset, 'bad_shards', ()):
            self._list(bad)

    def __getitems__(self, indices: Sequence[int]) -> list:
        """The samples of a batch; torch asks for them at once."""
        fetch = getattr(self.dataset, 'fetch', None)
        if fetch is not None:
            fetch(indices)
        return [self[index] for index in indices]

    def __getitem__(self, index: int) -> Any:
        """The sample; an index without an epoch is one of epoch 0.

        Raises:
            ValueError: Its file and those that were drawn in its place are bad, 16 in a row.
        """
        if not isinstance(index, Integral):
            return self.dataset[index]
        place = int(index)
        numbers = [self.seed, getattr(index, 'epoch', 0), place, getattr(index, 'copy', 0)]
        for attempt in range(TRIES):
            # A step's seed has five numbers too, the last of which is 0.
            with seeded(*numbers, *([attempt] if attempt else [])):
                if attempt:
                    place = int(np.random.randint(len(self.dataset)))  # noqa: NPY002
                try:
                    return self.dataset[place]
                except Exception as error:
                    bad = self._fault(place, error)
                    if bad is None:
                        raise
            self._list(bad)
        raise ValueError(
            f'{TRIES} samples in a row are bad, the last one: {bad}; look at the files of the '
            'training set and at the loading step of its pipeline'
        ) from bad

    def _fault(self, place: int, error: Exception) -> BadImage | None:
        """What is wrong with the sample's file; None if something else is."""
        if isinstance(error, BadImage):
            return error
        get_info = getattr(self.dataset, 'get_data_info', None)
        info = get_info(place) if get_info is not None else {}
        for path in (info.get('img_path'), info.get('seg_map_path')):
            if isinstance(path, str):
                fault = find_fault(path, getattr(self.dataset, 'backend_args', None))
                if fault is not None:
                    return fault
        return None

    def _list(self, bad: BadImage) -> None:
        if self.bad_files is None:
            return
        try:
            self.bad_files.add(bad)
        except OSError as error:  # a full disk is no reason to end a run
            warnings.warn(f'{bad} (not listed: {error})', stacklevel=1)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        # While it is unpickled there is no dataset.
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.dataset, name, value)


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Let the generators of Python, NumPy and torch's CPU start from these numbers for a while.

    Afterwards their states are restored: without workers, models draw from them too.

    Args:
        *numbers: 0 or more.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    torch.default_generator.manual_seed(_seed_numpy(numbers))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def seed_generators(*numbers: int) -> None:
    """Let the generators of Python, NumPy and torch, on all devices, start from these numbers.

    Args:
        *numbers: 0 or more.
    """
    torch.manual_seed(_seed_numpy(numbers))


def _seed_numpy(numbers: tuple[int, ...]) -> int:
    """Seed Python's and NumPy's generators; a seed for torch's."""
    words = np.random.SeedSequence(numbers).generate_state(8)
    random.seed(int.from_bytes(words[:4].tobytes(), 'little'))
    np.random.seed(words[4:6])  # noqa: NPY002  (what the transforms of the libraries draw from)
    return int.from_bytes(words[6:].tobytes(), 'little')


def seed_draws(loader: dict, seed: int, bad_files: str | None = None) -> None:
    """Let a data loader's config draw its samples from (seed, epoch, index), and replace bad ones.

    A loader whose sampler is not a config is left as it is.

    Args:
        loader: Config of a data loader; changed in place.
        seed: Of the order and of all draws.
        bad_files: The list of bad files; None for no list.
    """
    sampler = loader.get('sampler')
    if not isinstance(sampler, dict):
        return
    loader['sampler'] = dict(type='EpochSampler', sampler=sampler, seed=seed)
    if isinstance(loader.get('batch_sampler'), dict):
        loader['batch_sampler'] = dict(
            type='LaterBatchSampler', batch_sampler=loader['batch_sampler']
        )
    loader['dataset'] = dict(
        type='SeededDataset', dataset=loader['dataset'], seed=seed, bad_files=bad_files
    )
