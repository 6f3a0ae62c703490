"""What the training process spends on masks and window groups, in it and in the loader's workers.

    python -m benchmarks.geometry [--batches 16 64 256]

*in the process*: the model draws the masks of a batch and lays it out, as it does without
`MaskingHook`. *from a worker*: what is left of that once a worker has done it: to take the batch's
masks from its queue, unpack and check them. *tensor by tensor*: the same, were they not packed.
*in a worker*: what the worker spends. Milliseconds a batch on one thread; the four take turns. On a
CPU, moving tensors to the device is free: a GPU adds their copies.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import OUT, aligned, alternate, environment, ratio, show_ratio, write
from benchmarks.training import load_pretraining
from wamim_mm import WaMIM
from wamim_mm.hooks.masking import masked_collate
from wamim_mm.ops.masking import unpack_masking

CONFIGS = ('wamim_vit-b', 'wamim_swin-b')
PLACES = ('in the process', 'from a worker', 'tensor by tensor', 'in a worker')


def tasks(model: WaMIM, batch: int) -> dict[str, Callable[[], object]]:
    """What is timed for a batch of this size, by place."""
    images = torch.zeros(batch, 3, *model.img_size)
    samples = [DataSample() for _ in range(batch)]
    for sample, draw in zip(samples, np.random.default_rng(0).random(batch), strict=True):
        sample.set_field(float(draw), 'draw')
    collate = masked_collate(model, lambda samples: dict(data_samples=list(samples)))
    packed = collate(samples)['masking']
    queues = {
        whole: iter(sent(packed if whole else unpack_masking(packed))) for whole in (True, False)
    }

    def hand_over(whole: bool) -> None:
        moved = model.data_preprocessor.cast_data(next(queues[whole]))
        masking = unpack_masking(moved) if whole else moved
        model.backbone.check_mask(images, masking.mask)

    return {
        'in the process': lambda: model.masking(images, samples),
        'from a worker': lambda: hand_over(True),
        'tensor by tensor': lambda: hand_over(False),
        'in a worker': lambda: collate(samples),
    }


class Same(Dataset):
    """One batch's masks again and again, in memory of their own as if just made."""

    def __init__(self, masking: tuple) -> None:
        self.masking = masking

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> tuple:
        return tree_map_only(Tensor, Tensor.clone, self.masking)


def sent(masking: tuple) -> DataLoader:
    """From a worker, as often as wanted."""
    return DataLoader(Same(masking), batch_size=None, num_workers=1, collate_fn=lambda given: given)


def seconds(task: Callable[[], object]) -> float:
    """Seconds of a call."""
    time.sleep(0.1)  # a worker's next batch lies ready
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def measure(model: WaMIM, batch: int, rounds: int) -> dict:
    """Seconds of every round by place, and how much less the process has to do."""
    contenders = {place: (lambda t=t: seconds(t)) for place, t in tasks(model, batch).items()}
    alternate(contenders, 2)
    found = alternate(contenders, rounds)
    gain = ratio(found['in the process'], found['from a worker'])
    return dict(seconds=found, ratio=gain)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batches', type=int, nargs='+', default=[16, 64, 256])
    parser.add_argument('--rounds', type=int, default=11)
    parser.add_argument('--out', type=Path, default=OUT / 'bench_geometry.json')
    args = parser.parse_args()
    torch.set_num_threads(1)
    results, rows = dict(environment=environment('benchmarks.geometry')), []
    for name in CONFIGS:
        model = WaMIM(
            **{k: v for k, v in load_pretraining(f'{name}.py').model.items() if k != 'type'}
        )
        for batch in args.batches:
            found = results.setdefault(name, {})[batch] = measure(model, batch, args.rounds)
            medians = [statistics.median(found['seconds'][place]) for place in PLACES]
            rows.append(
                (
                    name,
                    f'{batch}',
                    *(f'{1000 * s:.2f}' for s in medians),
                    show_ratio(found['ratio']),
                )
            )
    print(aligned(('ms a batch', 'images', *PLACES, 'less in the process'), rows))
    write(results, args.out)


if __name__ == '__main__':
    main()
