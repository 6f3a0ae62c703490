"""Memory of a training step as the batch grows, WaMIM beside MAE and SimMIM, from what it keeps.

    python -m benchmarks.memory [--batch 4]

Counted, not measured at the peak, so that it holds on a GPU as well: the tensors that autograd
keeps for the backward pass, each storage once, without the parameters; and 16 bytes for each
parameter (itself, its gradient, two moments of AdamW in float32). What operators need for a moment
and what an allocator wastes come on top.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from benchmarks.measure import OUT, aligned, environment, write
from benchmarks.training import Settings, Training, load_config

PAIRS = {'vit-b': ('wamim', 'mae'), 'swin-b': ('wamim', 'simmim')}
BATCHES = (16, 64, 256)
PARAMETER_BYTES = 16


def kept_bytes(training: Training) -> int:
    """Bytes that autograd keeps for the backward pass of a step, without the parameters."""
    model = training.inner
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()  # held, so that no other takes its place
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    batch = model.data_preprocessor(training.batch, True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = model(**batch, mode='loss')
    found = sum(storage.nbytes() for storage in kept.values())
    del losses
    return found


def count(method: str, backbone: str, batch: int) -> dict:
    """Bytes of parameters with their states, and of an image."""
    training = Training(load_config(method, backbone), Settings(batch, 'cpu'))
    parameters = sum(p.numel() for p in training.inner.parameters() if p.requires_grad)
    return dict(
        parameters=parameters,
        state_bytes=PARAMETER_BYTES * parameters,
        image_bytes=kept_bytes(training) / batch,
    )


def at(found: dict, batch: int) -> float:
    """Bytes at a batch."""
    return found['state_bytes'] + batch * found['image_bytes']


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.memory', description=__doc__.splitlines()[0]
    )
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--batch', type=int, default=4)
    add('--out', type=Path, default=OUT / 'memory.json')
    args = parser.parse_args(argv)
    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    results, rows = {}, []
    for backbone, methods in PAIRS.items():
        found = {method: count(method, backbone, args.batch) for method in methods}
        ours, theirs = found.values()
        ratios = {batch: at(ours, batch) / at(theirs, batch) for batch in BATCHES}
        results[backbone] = dict(found, ratio=ratios)
        for method, of in found.items():
            cells = [f'{at(of, batch) / 1e9:.2f}' for batch in BATCHES]
            rows.append([f'{backbone}, {method}', f'{of["image_bytes"] / 1e6:.1f}', *cells])
        rows.append(['ratio', '', *(f'{ratio:.2f}' for ratio in ratios.values())])
    heads = ['', 'MB an image', *(f'GB at {batch}' for batch in BATCHES)]
    print(aligned(heads, rows))
    write(environment('benchmarks.memory') | dict(results=results), args.out)


if __name__ == '__main__':
    main()
