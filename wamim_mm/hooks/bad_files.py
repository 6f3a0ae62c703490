"""Bad files are counted while a run goes on without them, and too many of them stop it."""

import sys
from pathlib import Path

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..data.bad_files import BadFiles
from ..image_files import BAD_FILES, MAX_BAD_SHARE

#: Iterations between two looks at the list.
EVERY = 50
#: A share of fewer files says little.
FEWEST = 100


@HOOKS.register_module()
class BadFilesHook(Hook):
    """Say how many files of the training set were bad, and stop where they are too many.

    Data workers list them (`SeededDataset`); this hook counts those that this start of the run has
    added. All processes stop after the same iteration, with exit code 1. Nothing is saved then:
    the last checkpoint stays.

    Args:
        max_share: Of the files that were tried, the share from which on a run stops, 0 to 1. It is
            judged when 100 files were tried, or all where there are fewer.

    Raises:
        ValueError: It is not between 0 and 1.
    """

    priority = 'VERY_LOW'  # after the checkpoint of an epoch

    def __init__(self, max_share: float = MAX_BAD_SHARE) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'BadFilesHook: max_share must be from 0 to 1, got {max_share}')
        self.max_share = max_share

    def before_train(self, runner: Runner) -> None:
        """Count those that the run had listed before it was resumed."""
        self._files = BadFiles(str(Path(runner.work_dir, BAD_FILES)))
        self._before = len(self._files) if runner._resume else 0
        self._found = self._steps = 0

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Look at the list now and then."""
        self._steps += 1
        if self._steps % EVERY == 0:
            self._look(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the list."""
        self._look(runner)

    def _look(self, runner: Runner) -> None:
        """Count.

        Raises:
            SystemExit: With code 1, if there are too many.
        """
        count = torch.tensor(float(len(self._files) - self._before))
        if get_world_size() > 1:
            all_reduce(count, 'max')  # whichever process has read the list last
        found = int(count)
        loader = runner.train_dataloader
        size = getattr(loader.batch_sampler, 'batch_size', 1)
        batches = self._steps + loader.num_workers * (loader.prefetch_factor or 0)
        # Each bad file was replaced.
        tried = min(len(loader.dataset), batches * size * get_world_size() + found)
        if found > self._found:
            runner.logger.info(
                f'bad files: {found:,} of about {tried:,} tried ({found - self._found:,} new), '
                f'listed in {self._files.path}'
            )
        self._found = found
        if tried >= min(FEWEST, len(loader.dataset)) and found > self.max_share * tried:
            runner.logger.error(
                f'{found:,} of about {tried:,} files that were tried are bad, more than '
                f'{self.max_share:.0%}, so the run stops: {self._files.path} says what is wrong; '
                'mend or remove them, or allow more with --max-bad-share'
            )
            sys.exit(1)
