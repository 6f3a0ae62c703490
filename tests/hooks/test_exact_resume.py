"""A run that goes on from any of its checkpoints ends with the same weights."""

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import nn

from wamim_mm.data.seeding import seed_draws

pytestmark = pytest.mark.usefixtures('own_instances')


class Model(BaseModel):
    """Draws from the generators of torch and NumPy in every step."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, inputs, mode='tensor'):
        self.seen.append([round(float(x[0]), 4) for x in inputs])
        x = nn.functional.dropout(torch.stack(inputs), 0.5) * np.random.random()  # noqa: NPY002
        return dict(loss=self.layer(x).square().mean())


@DATASETS.register_module()
class Noisy(BaseDataset):
    """Samples that are drawn anew each time."""

    def __init__(self, length):
        super().__init__(serialize_data=False, lazy_init=True)
        self.data_list, self._fully_initialized = [{} for _ in range(length)], True

    def __getitem__(self, index):
        return index + torch.rand(3)


def run(
    work_dir,
    workers=0,
    epochs=3,
    length=10,
    drop_last=True,
    kind=Model,
    hooks=(),
    interval=1,
    **options,
):
    loader = dict(
        dataset=dict(type='Noisy', length=length),
        batch_size=2,
        num_workers=workers,
        drop_last=drop_last,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=lambda samples: dict(inputs=samples),
    )
    seed_draws(loader, 3)
    torch.manual_seed(0)
    model = kind()
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader=loader,
        train_cfg=options.pop('train_cfg', dict(by_epoch=True, max_epochs=epochs)),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=epochs, convert_to_iter_based=True),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=interval, by_epoch=False)
        ),
        custom_hooks=[dict(type='EpochPositionHook'), dict(type='StepSeedHook', seed=3), *hooks],
        randomness=dict(seed=3),
        default_scope='mmpretrain',
        experiment_name=f'{work_dir}{options}',
        log_level='ERROR',
        **options,
    )
    runner.train()
    return model


@pytest.mark.parametrize(('length', 'drop_last'), [(10, True), (11, False), (9, True)])
def test_from_every_step(tmp_path, length, drop_last):
    whole = run(tmp_path / 'whole', length=length, drop_last=drop_last)
    steps = len(whole.seen)
    for step in range(1, steps):
        checkpoint = str(tmp_path / 'whole' / f'iter_{step}.pth')
        resumed = run(
            tmp_path / f'{step}',
            workers=0 if step % 4 else 2,
            length=length,
            drop_last=drop_last,
            load_from=checkpoint,
            resume=True,
        )
        assert resumed.seen == whole.seen[step:]
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), (step, name)
