"""How long training waits for a checkpoint, beside MMEngine's own CheckpointHook.

    python -m benchmarks.saving [--device cuda] [--folder DIR]

ViT-B and Swin-B with the state of their AdamW, saved to DIR. Seconds until the hook returns; ours
writes in the background, so also until the file is there, and what the copy in memory takes alone.
The contenders take turns.
"""

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path

import torch
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, runner
from mmpretrain.registry import MODELS

from benchmarks.measure import (
    DEVICES,
    OUT,
    aligned,
    alternate,
    environment,
    ratio,
    show_ratio,
    write,
)
from benchmarks.training import load_pretraining

CONFIGS = ('wamim_vit-b', 'wamim_swin-b')


def prepared(name: str, folder: str, device: str) -> Runner:
    """A Runner whose optimizer has made a step."""
    cfg = load_pretraining(f'{name}.py')
    made = Runner(
        MODELS.build(cfg.model).to(device),
        folder,
        train_dataloader=dict(
            dataset=[0],
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=cfg.optim_wrapper,
        default_scope='mmpretrain',
        experiment_name=name,
        log_level='WARNING',
    )
    made.optim_wrapper = made.build_optim_wrapper(made.optim_wrapper)
    made.param_schedulers = []
    for parameter in made.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    made.optim_wrapper.step()
    made.train_loop  # noqa: B018  (built at the first access)
    return made


def background(made: Runner, hook: CheckpointHook) -> tuple[float, float]:
    """Seconds until the hook returns, and until the file is there."""
    start = time.perf_counter()
    hook._save_checkpoint(made)
    returned = time.perf_counter() - start
    hook.saving[0].result()
    return returned, time.perf_counter() - start


def mmengine(made: Runner, hook: CheckpointHook) -> float:
    """Seconds of MMEngine's own, without our patches."""
    ours = runner.save_checkpoint
    runner.save_checkpoint = ours.__wrapped__
    try:
        start = time.perf_counter()
        step = made.epoch + 1
        meta = dict(epoch=step, iter=made.iter)
        CheckpointHook._save_checkpoint_with_step.__wrapped__(hook, made, step, meta)
        return time.perf_counter() - start
    finally:
        runner.save_checkpoint = ours


def copying(made: Runner) -> float:
    """Seconds of the copy alone."""
    state = [made.model.state_dict(), made.optim_wrapper.state_dict()]
    start = time.perf_counter()
    copy.deepcopy(state)
    return time.perf_counter() - start


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=DEVICES, default='cpu')
    parser.add_argument('--folder', help='where checkpoints go; by default a temporary folder')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--out', type=Path, default=OUT / 'bench_saving.json')
    args = parser.parse_args()
    results, rows = dict(environment=environment('benchmarks.saving')), []
    for name in CONFIGS:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            made, hook = prepared(name, folder, args.device), CheckpointHook(interval=1)
            hook.before_train(made)
            until_written = []

            def ours(made=made, hook=hook, until_written=until_written) -> float:
                returned, written = background(made, hook)
                until_written.append(written)
                return returned

            contenders = {
                'ours': ours,
                'mmengine': lambda made=made, hook=hook: mmengine(made, hook),
                'copy': lambda made=made: copying(made),
            }
            alternate(contenders, 1)
            until_written.clear()
            times = alternate(contenders, args.rounds)
            size = Path(hook.last_ckpt).stat().st_size
        times['ours, until written'] = until_written
        gain = ratio(times['mmengine'], times['ours'])
        results[name] = dict(bytes=size, seconds=times, ratio=gain)
        for kind, values in times.items():
            rows.append((f'{name}, {size / 1e6:,.0f} MB', kind, f'{statistics.median(values):.2f}'))
        rows.append((name, 'waits less by', show_ratio(gain)))
    print(aligned(('checkpoint', 'contender', 'seconds'), rows))
    write(results, args.out)


if __name__ == '__main__':
    main()
