"""Steps that are not finite change nothing, are counted, and name their files."""

import multiprocessing
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, init_default_scope
from mmpretrain.structures import DataSample
from torch import nn

from wamim_mm.hooks.finite_steps import FiniteStepsHook

from ..small_runs import Line, small_run

pytestmark = pytest.mark.usefixtures('own_instances')

NAN, INF = float('nan'), float('inf')


class Faulty(Line):
    """Its loss or gradients are not finite in some steps."""

    def __init__(self, faults, norm=False):
        super().__init__()
        self.faults, self.step = faults, 0
        self.norm = nn.BatchNorm1d(1, affine=False) if norm else nn.Identity()

    def forward(self, inputs, mode='loss'):
        fault, self.step = self.faults.get(self.step), self.step + 1
        numbers = torch.stack(inputs)
        if fault == 'input':
            numbers = numbers * NAN
        loss = self.layers[0](self.norm(numbers)).square().mean()
        if fault == 'loss':  # with finite gradients
            loss = loss + INF
        elif fault == 'nan':
            loss = loss * NAN
        elif fault == 'gradient':  # of a finite loss
            loss = (
                loss + (self.layers[0].weight - self.layers[0].weight.detach()).abs().sqrt().sum()
            )
        return dict(loss=loss)


def expected(faults, steps, every=1):
    """The weights after the finite steps alone, by a loop of our own."""
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 0.5)
    nn.init.constant_(layer.bias, 0.5)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for first in range(0, steps, every):
        group = range(first, first + every)
        if faults.keys() & set(group):
            continue
        for step in group:
            (layer(torch.tensor([[step / steps]])).square().mean() / every).backward()
        optimizer.step()
        optimizer.zero_grad()
    return layer


@pytest.mark.parametrize('kind', ['loss', 'nan', 'gradient'])
@pytest.mark.parametrize('every', [1, 2])
def test_they_change_nothing(tmp_path, kind, every):
    faults = dict.fromkeys([0, 3, 4, 9], kind)
    runner, _ = small_run(
        tmp_path,
        None,
        dict(max_iters=12),
        steps=12,
        model=Faulty(faults),
        hooks=[dict(type='FiniteStepsHook')],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=every),
    )
    layer = expected(faults, 12, every)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(runner.model.layers[0].state_dict()[name], tensor)
    # Of two batches, the step of both is skipped: (0, 1), (2, 3), (4, 5), (8, 9).
    assert runner.message_hub.get_info('skipped_steps') == 4
    assert torch.load(tmp_path / 'iter_12.pth')['message_hub']['runtime_info']['skipped_steps'] == 4
    assert 'backward' not in vars(runner.optim_wrapper)


@pytest.mark.filterwarnings('error:Seems like')
def test_schedulers_find_their_counter(tmp_path):
    runner, rates = small_run(
        tmp_path,
        dict(type='StepLR', step_size=1, gamma=0.5, by_epoch=False),
        dict(max_iters=3),
        hooks=[dict(type='FiniteStepsHook')],
    )
    assert rates == [1.0, 0.5, 0.25]
    assert runner.optim_wrapper.step._with_counter


def test_running_statistics_are_those_before(tmp_path):
    def run(place, faults, steps):
        runner, _ = small_run(
            tmp_path / place,
            None,
            dict(max_iters=steps),
            steps=6,
            batch=2,
            model=Faulty(faults, norm=True),
            hooks=[dict(type='FiniteStepsHook')],
        )
        return runner.model.norm

    stopped, went_on = run('short', {}, 2), run('long', {2: 'input', 3: 'input'}, 4)
    assert torch.equal(stopped.running_mean, went_on.running_mean)
    assert torch.equal(stopped.running_var, went_on.running_var)
    assert stopped.running_mean != 0


@pytest.mark.parametrize('limit', [1, 3])
def test_many_in_a_row_end_the_run(tmp_path, limit):
    faults = dict.fromkeys([1, *range(4, 20)], 'nan')
    with pytest.raises(
        FloatingPointError,
        match=rf'{limit} steps in a row, up to iteration {limit + 4 if limit > 1 else 2},',
    ):
        small_run(
            tmp_path,
            None,
            dict(max_iters=20),
            model=Faulty(faults),
            hooks=[dict(type='FiniteStepsHook', limit=limit)],
        )
    for file in tmp_path.glob('*.pth'):
        assert all(part.isfinite().all() for part in torch.load(file)['state_dict'].values())
    with pytest.raises(ValueError, match='limit must be a number from 1 on, got 0'):
        FiniteStepsHook(0)


def test_a_short_run_that_has_learned_nothing(tmp_path):
    """It has too few steps for the limit."""

    def run(finite, steps, **options):
        hooks = [dict(type='FiniteStepsHook')]
        model = Faulty(dict.fromkeys({0, 1, 2, 3} - finite, 'nan'))
        small_run(tmp_path, None, dict(max_iters=steps), model=model, hooks=hooks, **options)

    with pytest.raises(FloatingPointError, match=r'all 3 steps of this run .* it began with'):
        run(set(), 3)
    run({1}, 3)
    run(set(), 4, resume=True)  # its last step alone is skipped


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(OptimWrapper):
    """MMEngine's AmpOptimWrapper, on a CPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=8.0)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


def test_a_gradient_scaler_skips_by_itself(tmp_path):
    faults = dict.fromkeys([1, 2], 'gradient')
    runner, _ = small_run(
        tmp_path,
        None,
        dict(max_iters=4),
        steps=4,
        model=Faulty(faults),
        hooks=[dict(type='FiniteStepsHook')],
        optim_wrapper=dict(type='ScaledOptimWrapper', optimizer=dict(type='AdamW', lr=0.1)),
    )
    assert runner.optim_wrapper.loss_scaler.get_scale() == 2.0  # halved twice
    assert runner.message_hub.get_info('skipped_steps') == 2
    layer = expected(faults, 4)
    for name, tensor in layer.state_dict().items():
        assert torch.allclose(runner.model.layers[0].state_dict()[name], tensor)


def test_the_log_names_the_files(tmp_path):
    runner, _ = small_run(tmp_path, None, dict(max_iters=1))
    said = []
    runner.logger.warning = said.append
    hook = FiniteStepsHook()
    samples = [DataSample(metainfo=dict(img_path=name)) for name in ('a.jpg', 'b c.png')]
    for batch in (dict(data_samples=samples), dict(inputs=[]), [1]):
        hook._stepped, hook._skips, hook._losses = True, True, [torch.tensor(NAN)]
        hook.after_train_iter(runner, 0, batch)
    hook._stepped, hook._losses = True, [torch.tensor(1.0)]
    hook.after_train_iter(runner, 0, None)
    assert said[0].endswith('the loss (nan) is not finite (1 in a row, 1 in all); files of its '
                            'batch: a.jpg, b c.png')  # fmt: skip
    assert said[1].endswith('(2 in a row, 2 in all); files of its batch: unknown')
    assert 'the gradients are not finite (4 in a row, 4 in all)' in said[3]
    hook.after_train_iter(runner, 0, dict(data_samples=samples[:1]))  # of two batches
    assert hook.in_row == 4
    hook._stepped, hook._losses = True, [torch.tensor(INF), torch.tensor(1.0)]
    hook.after_train_iter(runner, 0, dict(data_samples=samples[1:]))
    assert said[4].endswith('the loss (inf) is not finite (5 in a row, 5 in all); files of its '
                            'batch: a.jpg, b c.png')  # fmt: skip
    hook._stepped, hook._skips = True, False
    hook.after_train_iter(runner, 0, None)
    assert hook.in_row == 0


def test_many_in_a_row_of_accumulated_batches(tmp_path):
    with pytest.raises(FloatingPointError, match=r'3 steps in a row, up to iteration 6,'):
        small_run(
            tmp_path,
            None,
            dict(max_iters=20),
            model=Faulty(dict.fromkeys(range(20), 'nan')),
            hooks=[dict(type='FiniteStepsHook', limit=3)],
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2),
        )


def test_of_another_engine_nothing_is_kept():
    """DeepSpeed's steps are not watched, and no file name waits for one."""
    hook = FiniteStepsHook()
    hook.before_train(SimpleNamespace(optim_wrapper=object()))
    for _ in range(3):
        hook.after_train_iter(None, 0, dict(data_samples=[DataSample(metainfo=dict(img_path='a'))]))
    assert hook._files == []


def train_in_two(rank, folder):
    """One process of two; the loss of process 1 is NaN in its second step."""
    torch.distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    os.environ['LOCAL_RANK'] = str(rank)
    init_default_scope('mmengine')
    runner, _ = small_run(
        f'{folder}/{rank}',
        None,
        dict(max_iters=4),
        steps=8,
        model=Faulty({1: 'nan'} if rank else {}),
        hooks=[dict(type='FiniteStepsHook')],
        launcher='pytorch',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        cfg=dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)),
    )
    hub = runner.message_hub.runtime_info
    torch.save(
        (runner.model.module.layers.state_dict(), hub['skipped_steps']), f'{folder}/{rank}.pt'
    )


def test_all_processes_skip_the_same_steps(tmp_path):
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.forked_libraries'])
    ranks = [context.Process(target=train_in_two, args=(rank, str(tmp_path))) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    (first, skipped), (second, also) = (torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1))
    assert skipped == also == 1
    for name, tensor in first.items():
        assert tensor.isfinite().all() and torch.equal(tensor, second[name])
