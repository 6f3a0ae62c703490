"""Bad files are counted, and too many of them stop a run."""

import logging
import re

import pytest
import torch
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from wamim_mm.data.bad_files import BadImage
from wamim_mm.data.seeding import seed_draws
from wamim_mm.hooks import BadFilesHook

from .test_exact_resume import Model, Noisy

pytestmark = pytest.mark.usefixtures('own_instances')


@DATASETS.register_module()
class PartlyBad(Noisy):
    """Samples of which every so-manieth cannot be loaded."""

    def __init__(self, length, every):
        super().__init__(length)
        self.every = every

    def __getitem__(self, index):
        if index % self.every == self.every - 1:
            raise BadImage(f'{index}.jpg', 'is empty')
        return super().__getitem__(index)


def run(work_dir, length=200, every=10, epochs=1, workers=0, **options):
    """Train; what was logged about bad files."""
    loader = dict(
        dataset=dict(type='PartlyBad', length=length, every=every),
        batch_size=2,
        num_workers=workers,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=lambda samples: dict(inputs=samples),
    )
    seed_draws(loader, 0, str(work_dir / 'bad_files.txt'))
    hook = dict(type='BadFilesHook', **options.pop('hook', {}))
    runner = Runner(
        Model(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        custom_hooks=[hook],
        default_scope='mmpretrain',
        experiment_name=f'{work_dir}{options}{epochs}',
        **options,
    )
    lines = []
    keep = logging.Handler()
    keep.emit = lambda record: lines.append(record.getMessage())
    runner.logger.setLevel('INFO')
    runner.logger.handlers = [keep]
    try:
        runner.train()
    except SystemExit as stop:
        lines.append(f'code {stop.code}')
    return [line for line in lines if re.match(r'bad files: |[\d,]+ of about |code ', line)]


def test_they_are_counted_when_there_are_more(tmp_path):
    lines = run(tmp_path, epochs=2)
    assert lines[-1].startswith('bad files: 20 of about ')
    numbers = [re.findall(r'(\d+) of about (\d+) tried \((\d+) new', line)[0] for line in lines]
    counts = [tuple(map(int, found)) for found in numbers]
    for (before, _, _), (count, tried, new) in zip([(0, 0, 0), *counts], counts, strict=False):
        assert new == count - before > 0 and 100 <= tried <= 200 and count <= 20
    assert len((tmp_path / 'bad_files.txt').read_text().splitlines()) == 20
    assert (tmp_path / 'epoch_2.pth').is_file()


def test_too_many_stop_the_run(tmp_path):
    *_, line, code = run(tmp_path, every=2, epochs=9)
    found = re.match(r'(\d+) of about (\d+) files that were tried are bad, more than 30%', line)
    assert found and 0.4 < int(found[1]) / int(found[2]) < 0.6 and code == 'code 1'
    assert 'bad_files.txt says what is wrong' in line and '--max-bad-share' in line
    assert not list(tmp_path.glob('*.pth'))


def test_a_share_that_is_allowed(tmp_path):
    assert run(tmp_path / 'a', every=2, hook=dict(max_share=0.6))[-1].startswith('bad files: 100 ')
    assert run(tmp_path / 'b', every=50, hook=dict(max_share=0))[-1] == 'code 1'
    assert run(tmp_path / 'c', length=20, every=2)[-1] == 'code 1'  # fewer than 100, all tried
    assert run(tmp_path / 'd', every=1000, hook=dict(max_share=0)) == []
    for wrong in (-0.1, 1.1, float('nan')):
        with pytest.raises(ValueError, match='max_share must be from 0 to 1, got'):
            BadFilesHook(wrong)


def test_a_resumed_run_counts_its_own(tmp_path):
    """What was listed before is none of the few files that were tried since."""
    run(tmp_path, length=400, every=4, hook=dict(max_share=1))
    assert len((tmp_path / 'bad_files.txt').read_text().splitlines()) == 100
    assert run(tmp_path, length=400, every=4, epochs=2, resume=True) == []


def test_prefetched_samples_count_as_tried(tmp_path):
    """The workers are ahead of the run with what they try, and with what they find."""
    lines = run(tmp_path, every=4, workers=2, length=1000)
    assert lines and 'code 1' not in lines


@pytest.mark.parametrize('counts', [(40, 70), (70, 40)])
def test_all_processes_stop_together(tmp_path, monkeypatch, counts):
    """One has read a shorter list than the other."""
    own, other = counts
    monkeypatch.setattr('wamim_mm.hooks.bad_files.get_world_size', lambda: 2)
    reduce = lambda count, op: count.clamp_(min=other)  # noqa: E731
    monkeypatch.setattr('wamim_mm.hooks.bad_files.all_reduce', reduce)
    hook = BadFilesHook(0.5)
    hook._files, hook._before, hook._found, hook._steps = [None] * own, 0, 0, 5
    data = torch.utils.data.DataLoader(range(1000), batch_size=4)
    hook._files = type('Listed', (list,), dict(path='bad_files.txt'))(hook._files)
    runner = type('R', (), dict(train_dataloader=data, logger=logging.getLogger('quiet')))
    with pytest.raises(SystemExit):
        hook._look(runner)  # 70 of 40 + 70
