"""A step of the optimizer over one parameter group for each setting, beside one for each tensor.

    python -m benchmarks.groups [--device cuda]

The pre-training configs' own fused AdamW, once with `MergedOptimWrapperConstructor`, once with
MMEngine's. Milliseconds of a step, gradients at hand; the two take turns.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from torch.optim import Optimizer

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
CONSTRUCTORS = {
    'merged': 'MergedOptimWrapperConstructor',
    'plain': 'DefaultOptimWrapperConstructor',
}


def optimizers(name: str, device: str) -> dict[str, Optimizer]:
    """The optimizers of a config's model, both over the same parameters."""
    cfg = load_pretraining(f'{name}.py')
    model = MODELS.build(cfg.model).to(device)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    return {
        kind: build_optim_wrapper(model, dict(cfg.optim_wrapper, constructor=constructor)).optimizer
        for kind, constructor in CONSTRUCTORS.items()
    }


def seconds(optimizer: Optimizer, device: str) -> float:
    """Seconds of a step, until the device has done it."""
    synchronize = torch.cuda.synchronize if device == 'cuda' else lambda: None
    synchronize()
    start = time.perf_counter()
    optimizer.step()
    synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=DEVICES, default='cpu')
    parser.add_argument('--rounds', type=int, default=21)
    parser.add_argument('--out', type=Path, default=OUT / 'bench_groups.json')
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')  # not a line for each tensor
    results, rows = dict(environment=environment('benchmarks.groups')), []
    for name in CONFIGS:
        found = optimizers(name, args.device)
        contenders = {kind: (lambda o=o: seconds(o, args.device)) for kind, o in found.items()}
        alternate(contenders, 3)
        times = alternate(contenders, args.rounds)
        groups = {kind: len(optimizer.param_groups) for kind, optimizer in found.items()}
        gain = ratio(times['plain'], times['merged'])
        results[name] = dict(groups=groups, seconds=times, ratio=gain)
        for kind in CONSTRUCTORS:
            median = 1000 * statistics.median(times[kind])
            rows.append((f'{name}, {kind}', f'{groups[kind]}', f'{median:.1f}', show_ratio(gain)))
    print(aligned(('optimizer', 'groups', 'ms a step', 'speed-up by merging'), rows))
    write(results, args.out)


if __name__ == '__main__':
    main()
