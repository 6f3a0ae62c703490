"""A data worker that cannot hand over what it read ends, and says why."""

import pytest
from mmengine.runner import Runner
from torch.utils.data import Dataset

from wamim_mm.cli.errors import explain
from wamim_mm.interop import data_workers


class Unsendable(Dataset):
    """Samples that no queue takes, as tensors are where shared memory is full."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return lambda: index


def test_a_worker_that_cannot_hand_over_ends(capfd):
    """Nobody would wait for ever for what was lost."""
    data_workers.install()
    cfg = dict(
        dataset=Unsendable(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
        batch_size=2,
        num_workers=1,
        timeout=60,
    )
    loader = Runner.build_dataloader(cfg, seed=0)
    with pytest.raises(RuntimeError, match='exited unexpectedly') as ended:
        next(iter(loader))
    assert '--shm-size' in explain(ended.value)
    assert "Can't pickle local object" in capfd.readouterr().err
