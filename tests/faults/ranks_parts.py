"""What the runs of `ranks` are made of besides the demo: a slow hook, and data that hang."""

import os
import time
from pathlib import Path

from mmcv.transforms import BaseTransform
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS


@HOOKS.register_module()
class Told(Hook):
    """Lets a step take a moment, and writes which process is in which."""

    def __init__(self, folder, seconds):
        self.folder, self.seconds = Path(folder), seconds

    def before_train_iter(self, runner, *args, **kwargs):
        beside = self.folder / f'.{runner.rank}'
        beside.write_text(f'{os.getpid()} {runner.iter}')
        beside.replace(self.folder / f'{runner.rank}')
        time.sleep(self.seconds)


@TRANSFORMS.register_module()
class Hang(BaseTransform):
    """Sleeps for an hour at one of the samples of a process."""

    def __init__(self, process, sample):
        self.process, self.left = process, sample

    def transform(self, results):
        self.left -= 1
        if self.left == 0 and get_rank() == self.process:
            time.sleep(3600)
        return results
