"""Small runs: of a model with one weight, which show every learning rate; of the demo's models."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from wamim_mm.cli.screen import QuietRunner


class Numbers(torch.utils.data.Dataset):
    """As many numbers as asked for."""

    def __init__(self, count):
        self.count, self.metainfo = count, {'classes': ('one',)}

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {'inputs': torch.tensor([index / self.count])}


class Line(BaseModel):
    """A line through the numbers."""

    def __init__(self, parts=1):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(parts))
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.5)

    def forward(self, inputs, mode='loss'):
        numbers = torch.stack(inputs)
        for layer in self.layers:
            numbers = layer(numbers)
        return {'loss': numbers.square().mean()}


class Rates(Hook):
    """Note what the optimizer is set to in every step."""

    def __init__(self, name):
        self.name, self.rates = name, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.param_groups[0][self.name])


def small_run(
    work_dir,
    schedule,
    length,
    steps=6,
    batch=1,
    every=1,
    hooks=(),
    note='lr',
    lr=1.0,
    model=None,
    kind=QuietRunner,
    **options,
):
    """Train; return the runner and the learning rate of every step.

    Args:
        work_dir: Of the run.
        schedule: `param_scheduler`.
        length: `train_cfg`.
        steps: Numbers to train on.
        batch: Of so many numbers.
        every: How many epochs or iterations come between checkpoints.
        hooks: Of this project; they are registered behind the others.
        note: What to note instead of the learning rate.
        lr: Of AdamW.
        model: The model.
        kind: The class of the Runner.
        options: Of the Runner.
    """
    length = {'type': 'EpochBasedTrainLoop', **length}
    if 'max_iters' in length:
        length['type'] = 'IterBasedTrainLoop'
    by_epoch = 'max_epochs' in length
    options.setdefault('optim_wrapper', {'optimizer': {'type': 'AdamW', 'lr': lr}})
    runner = kind(
        model=model or Line(),
        work_dir=str(work_dir),
        train_dataloader={
            'dataset': Numbers(steps),
            'batch_size': batch,
            'num_workers': 0,
            'sampler': {
                'type': 'DefaultSampler' if by_epoch else 'InfiniteSampler',
                'shuffle': False,
            },
        },
        train_cfg=length,
        param_scheduler=schedule,
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'interval': every, 'by_epoch': by_epoch},
            'logger': {'type': 'LoggerHook', 'interval': 1000},
        },
        randomness={'seed': 0},
        default_scope='mmengine',
        experiment_name=str(work_dir),
        log_level='ERROR',
        **options,
    )
    noted = Rates(note)
    for hook in (noted, *hooks):
        runner.register_hook(hook)
    runner.train()
    return runner, noted.rates


def demo_config(name, images, work_dir, batch, epochs, prefix=''):
    """A config of configs/demo for a run on few images, in one process, at a constant rate.

    Args:
        name: Of the config.
        images: The folder of the images.
        work_dir: Of the run.
        batch: Of so many images.
        epochs: Of the run.
        prefix: The folder below that of the images.
    """
    cfg = Config.fromfile(Path(__file__).resolve().parents[1] / f'configs/demo/{name}.py')
    cfg.work_dir = str(work_dir)
    cfg.train_dataloader.update(batch_size=batch, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.update(data_root=str(images), data_prefix=prefix)
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler = []
    return cfg
