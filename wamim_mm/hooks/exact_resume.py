"""A run that was killed anywhere goes on as if it had not been.

The draws of samples come from (seed, epoch, index), see `data.seeding`. What is left are the draws
of a training step, and the place in an epoch where a checkpoint was written.
"""

from functools import partial
from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook, IterTimerHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ..data.seeding import EpochSampler, LaterBatchSampler, seed_generators


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Let every draw of a training step (dropout, mixup) come from (seed, iteration, process).

    Args:
        seed: Seed of the run.
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Seed the generators of Python, NumPy and torch, on all devices."""
        # Five numbers: a sample's seed has four.
        seed_generators(self.seed, runner.iter, get_rank(), 0, 0)


@HOOKS.register_module()
class EpochPositionHook(Hook):
    """Go on inside an epoch; MMEngine begins the epoch anew, and its steps count twice.

    A run that counts iterations goes on where it was under MMEngine too, which for samplers that
    cannot skip reads all images once more; here none is read.

    It needs our samplers, which every run has whose samplers are configs. Without them the epoch
    begins anew, as a warning says, and so does the count of its steps.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave out what was trained on already."""
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            if loop.iter > 0 and not getattr(loop, 'fast_forward_on_resume', False):
                _skip_iterations(loop)
            return
        if not isinstance(loop, EpochBasedTrainLoop):
            return
        loader = loop.dataloader
        done = runner.iter - runner.epoch * len(loader)
        if done <= 0:
            return
        if isinstance(loader.batch_sampler, LaterBatchSampler):
            loader.batch_sampler.start = done
        elif isinstance(loader.sampler, EpochSampler):
            loader.sampler.start = done * loader.batch_size
        else:
            self._begin_anew(runner, loop, done)
            return
        # Hooks and the log count batches from the beginning of the epoch.
        loop.run_iter = partial(_run_later, loop, done)

    def _begin_anew(self, runner: Runner, loop: EpochBasedTrainLoop, done: int) -> None:
        loop._iter -= done
        for hook in runner.hooks:
            if isinstance(hook, IterTimerHook):  # it has counted from where the run was resumed
                hook.start_iter = loop._iter
        runner.logger.warning(
            f'epoch {runner.epoch + 1} begins anew, {done} steps are repeated: the order of '
            'the training images is of a sampler that is no config'
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """The next epoch is a whole one."""
        vars(runner.train_loop).pop('run_iter', None)


class _Advanced:
    """An endless iterator over batches whose loader has left out the first ones already.

    Args:
        batches: MMEngine's iterator.
        steps: How many batches MMEngine will ask for, or tell it to skip, before the first step.
    """

    def __init__(self, batches: Any, steps: int) -> None:
        self.batches = batches
        self.steps = steps

    def skip_iter(self, num_iters: int) -> None:
        """Nothing is left to skip."""
        self.steps = 0

    def __next__(self) -> Any:
        if self.steps > 0:
            self.steps -= 1
            return None
        return next(self.batches)


def _skip_iterations(loop: IterBasedTrainLoop) -> None:
    """Leave out what was trained on already, where our samplers know how and MMEngine does not."""
    loader = loop.dataloader
    by_batch = isinstance(loader.batch_sampler, LaterBatchSampler)
    sampler = loader.batch_sampler.sampler if by_batch else loader.sampler
    if not isinstance(sampler, EpochSampler) or (hasattr(sampler, 'skip') and not by_batch):
        return
    passes, done = 0, loop.iter
    if isinstance(sampler.sampler, DefaultSampler):
        passes, done = divmod(done, len(loader))
    elif not isinstance(sampler.sampler, InfiniteSampler):
        return
    sampler.set_epoch(passes)
    if by_batch:
        loader.batch_sampler.start = done
    else:
        sampler.start = done * loader.batch_size
    # A new one: MMEngine's of some versions has asked for its first batches already.
    batches = type(loop.dataloader_iterator)(loader)
    batches._epoch = passes
    loop.dataloader_iterator = _Advanced(batches, loop.iter)


def _run_later(loop: EpochBasedTrainLoop, done: int, idx: int, data_batch: dict) -> None:
    type(loop).run_iter(loop, idx + done, data_batch)
