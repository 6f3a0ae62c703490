"""What the benchmarks share: taking turns, ratios of paired rounds, where they ran, output."""

import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

OUT = Path('work_dirs/bench')
#: Kinds of devices that this machine has, the faster one last.
DEVICES = ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu',)
# Import names, since a library may come from one distribution or another.
PACKAGES = [
    *('wamim_mm', 'torch', 'torchvision', 'numpy', 'PIL', 'cv2', 'mmengine', 'mmcv', 'mmpretrain'),
    *('pywt', 'ptwt', 'pytorch_wavelets'),
]
# Dense peaks without sparsity, in FLOP/s, from NVIDIA's data sheets. A GPU that is not here has
# none: a guess would be taken for a measurement. fp32 is without TF32, as torch's default is.
PEAK_FLOPS = {
    'NVIDIA H200': dict(bf16=989e12, fp16=989e12, fp32=67e12),
    'NVIDIA H100 80GB HBM3': dict(bf16=989e12, fp16=989e12, fp32=67e12),
    'NVIDIA H100 PCIe': dict(bf16=756e12, fp16=756e12, fp32=51e12),
    'NVIDIA A100': dict(bf16=312e12, fp16=312e12, fp32=19.5e12),
}


def alternate(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let contenders take turns, so that what disturbs the machine disturbs all of them.

    Args:
        contenders: Functions that return the seconds that they took, by name.
        rounds: How often each has its turn.

    Returns:
        The seconds of every round, by name.
    """
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seconds[name].append(run())
    return seconds


def ratio(others: Sequence[float], own: Sequence[float]) -> dict[str, float]:
    """How many times as long the others took: median and range over the rounds, paired."""
    paired = [other / mine for other, mine in zip(others, own, strict=True)]
    return dict(median=statistics.median(paired), min=min(paired), max=max(paired))


def show_ratio(ratio: dict[str, float]) -> str:
    return f'{ratio["median"]:.2f}x ({ratio["min"]:.2f} to {ratio["max"]:.2f})'


def peak_flops(device_name: str, dtype: str) -> float | None:
    """Dense peak of a GPU in FLOP/s; None for one that is not in the table."""
    for name, peaks in PEAK_FLOPS.items():
        if device_name.startswith(name):
            return peaks[dtype]
    return None


def environment(module: str) -> dict:
    """The machine, the versions and the command line of a benchmark."""
    owners = importlib.metadata.packages_distributions()
    installed = {name: owners[name][0] for name in PACKAGES if name in owners}
    cpu = [line for line in Path('/proc/cpuinfo').read_text().splitlines() if 'model name' in line]
    return dict(
        machine=dict(
            cpu=cpu[0].split(':')[1].strip() if cpu else platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            threads=torch.get_num_threads(),
            gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        ),
        versions=dict(
            python=platform.python_version(),
            **{package: importlib.metadata.version(package) for package in installed.values()},
        ),
        command=' '.join(['python', '-m', module, *sys.argv[1:]]),
    )


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first is of names, the others of numbers."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return '\n'.join(
        '  '.join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()
        for cells in (heads, *rows)
    )


def write(results: dict, path: Path) -> None:
    """Write results as JSON and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + '\n')
    print(f'\nwrote {path}')
