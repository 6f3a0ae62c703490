"""Damaged checkpoints load as they were or are refused, in words that name the file.

python -m tests.faults.checkpoints --files N --out FILE

A checkpoint of a real run, in torch's format, in its legacy one, and its weights in that of
safetensors, are damaged at random and read by the loader of ``--resume`` and ``load_from``, in a
process with little memory. Torch's format has checksums. The others have none: numbers that have
changed are noticed by nobody there, and counted apart.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from benchmarks.measure import environment, write

from ..small_runs import Line, small_run

#: Outcomes that are as promised. With checksums, `CHANGED` is not.
SAME, REFUSED, CHANGED = 'as it was', 'refused', 'other numbers'
CHECKED = ('torch',)  # formats with checksums
SECONDS = 20
MEMORY = 2**30  # bytes more than the process has already

Mutation = Callable[[bytearray, random.Random], None]


def flip_bits(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 2, 8))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def fill(data: bytearray, draw: random.Random) -> None:
    """With zeros, as a disk does that was not waited for."""
    start, length = draw.randrange(len(data)), draw.choice((1, 16, 512, 4096))
    end = min(start + length, len(data))
    data[start:end] = bytes(end - start)


def insert(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data))
    data[place:place] = draw.randbytes(draw.choice((1, 2, 64)))


def swap(data: bytearray, draw: random.Random) -> None:
    size = draw.choice((1, 16, 256))
    first, second = (draw.randrange(max(len(data) // size, 1)) * size for _ in range(2))
    one, other = data[first : first + size], data[second : second + size]
    if len(one) == len(other):
        data[first : first + size], data[second : second + size] = other, one


def damage_directory(data: bytearray, draw: random.Random) -> None:
    """At the end, where an archive has its table of contents."""
    size = min(len(data), draw.choice((22, 200, 2000)))
    end = data[-size:]
    draw.choice((flip_bits, cut, fill))(end, draw)
    data[-size:] = end


def damage_start(data: bytearray, draw: random.Random) -> None:
    """At the start, where the legacy format has its pickles and safetensors its lengths."""
    size = min(len(data), draw.choice((16, 200)))
    start = data[:size]
    draw.choice((flip_bits, fill, swap))(start, draw)
    data[:size] = start


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    cut,
    fill,
    insert,
    swap,
    damage_directory,
    damage_start,
)


def originals(folder: Path) -> dict[str, tuple[bytes, Any]]:
    """Format -> the content of a file, and what is read from it."""
    model = Line(4)
    small_run(folder / 'run', [], dict(max_epochs=1), steps=2, every=1, model=model)
    paths = {
        'torch': folder / 'run' / 'epoch_1.pth',
        'legacy': folder / 'legacy.pth',
        'safetensors': folder / 'weights.safetensors',
    }
    content = torch.load(paths['torch'], weights_only=False)
    content['message_hub']['runtime_info']['cfg'] = content['meta']['cfg'] = "a = dict(b='c')\n"
    torch.save(content, paths['torch'])
    torch.save(content, paths['legacy'], _use_new_zipfile_serialization=False)
    save_file(content['state_dict'], paths['safetensors'])
    return {name: (path.read_bytes(), load(path)) for name, path in paths.items()}


def load(path: Path) -> Any:
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list | tuple):
        alike = type(one) is type(other) and len(one) == len(other)
        return alike and all(map(same, one, other))
    if isinstance(one, HistoryBuffer):
        # Not its properties: a damaged name leaves one without what they read.
        return isinstance(other, HistoryBuffer) and same(vars(one), vars(other))
    if isinstance(one, torch.Tensor):
        alike = isinstance(other, torch.Tensor) and one.dtype == other.dtype
        return alike and same(one.detach().numpy(), other.detach().numpy())
    if isinstance(one, np.ndarray):
        alike = isinstance(other, np.ndarray) and one.dtype == other.dtype
        return alike and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) is type(other) and (one == other or one != one)


def judge(path: Path, expected: Any) -> str:
    """What comes of loading a damaged file: one of the outcomes, or what went wrong."""
    try:
        found = load(path)
    except (RuntimeError, UnpicklingError) as error:
        explained = str(error).startswith(str(path))
        return REFUSED if explained else f'{type(error).__name__} without the name: {error}'
    except BaseException as error:
        return f'{type(error).__name__}: {error}'
    return SAME if same(found, expected) else CHANGED


def case(number: int, files: dict[str, tuple[bytes, Any]]) -> tuple[str, str, bytes]:
    """Format, mutation and content of a damaged file, a function of its number."""
    draw = random.Random(number)
    name = sorted(files)[number % len(files)]
    mutate = MUTATIONS[number // len(files) % len(MUTATIONS)]
    data = bytearray(files[name][0])
    mutate(data, draw)
    return name, mutate.__name__, bytes(data)


def _work(pipe: Any, numbers: range, files: dict, folder: Path, judged: Callable) -> None:
    """In a process of its own: judge files and tell the outcomes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number in numbers:
        name, _, data = case(number, files)
        path = folder / f'damaged{".safetensors" if name == "safetensors" else ".pth"}'
        path.write_bytes(data)
        pipe.send(judged(path, files[name][1]))
    os._exit(0)


def outcomes(
    count: int, folder: Path, judged: Callable[[Path, Any], str] = judge, seconds: float = SECONDS
) -> Iterator[tuple[int, str, str, str]]:
    """Number, format, mutation and outcome of each file.

    Args:
        count: Files.
        folder: A place for files.
        judged: What is done with a file.
        seconds: That one file may take.
    """
    files = originals(folder)
    context = multiprocessing.get_context('fork')
    number = 0
    while number < count:
        ours, theirs = context.Pipe()
        given = (theirs, range(number, count), files, folder, judged)
        process = context.Process(target=_work, args=given)
        process.start()
        theirs.close()
        while number < count:
            try:
                outcome = ours.recv() if ours.poll(seconds) else f'hangs for {seconds} s'
            except EOFError:
                process.join()
                outcome = f'the process ends with {process.exitcode}'
            yield number, *case(number, files)[:2], outcome
            number += 1
            if outcome.startswith(('hangs', 'the process ends')):
                break
        process.kill()
        process.join()


def is_promised(name: str, outcome: str) -> bool:
    """Whether this may come of a damaged file of a format."""
    return outcome in (SAME, REFUSED) or (outcome == CHANGED and name not in CHECKED)


def main() -> None:
    """Damage files and count what comes of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--files', type=int, default=5000)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    counts: dict[str, Counter] = {}
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, name, mutation, outcome in outcomes(args.files, Path(folder)):
            fine = is_promised(name, outcome)
            counts.setdefault(name, Counter())[outcome if fine else 'broken'] += 1
            if not fine:
                broken += 1
                print(f'{number} {name} {mutation}: {outcome}')
    for name, found in counts.items():
        print(f'{name}: {", ".join(f"{count} {outcome}" for outcome, count in found.items())}')
    if args.out:
        results = dict(files=args.files, broken=broken, outcomes=counts)
        write(dict(environment=environment('tests.faults.checkpoints'), **results), args.out)
    sys.exit(broken > 0)


if __name__ == '__main__':
    main()
