"""A few hundred damaged checkpoints, and a look at what looks for faults."""

import os
import signal
import time
from collections import Counter

import pytest
import torch
from mmengine.runner import checkpoint

from . import checkpoints

pytestmark = pytest.mark.usefixtures('own_instances')


def found(count, tmp_path, **options):
    return list(checkpoints.outcomes(count, tmp_path, **options))


def test_damaged_files(tmp_path):
    cases = found(126, tmp_path)
    broken = [case for case in cases if not checkpoints.is_promised(case[1], case[3])]
    assert not broken
    assert [number for number, *_ in cases] == list(range(126))
    assert {mutation for _, _, mutation, _ in cases} == {m.__name__ for m in checkpoints.MUTATIONS}
    for name in ('torch', 'legacy', 'safetensors'):
        counts = Counter(outcome for _, kind, _, outcome in cases if kind == name)
        assert counts.total() == 42 and counts[checkpoints.REFUSED] > 20


def test_undamaged_files(tmp_path):
    for name, (data, expected) in checkpoints.originals(tmp_path).items():
        path = tmp_path / ('a.safetensors' if name == 'safetensors' else 'a.pth')
        path.write_bytes(data)
        assert checkpoints.judge(path, expected) == checkpoints.SAME
        for change in (dict(expected, more=1), {}):
            assert checkpoints.judge(path, change) == checkpoints.CHANGED
    assert not checkpoints.is_promised('torch', checkpoints.CHANGED)
    assert checkpoints.is_promised('legacy', checkpoints.CHANGED)
    assert not checkpoints.is_promised('legacy', 'KeyError: 1')


def at(number, fault):
    """Judge files, and do something else with one of them."""
    judged = []

    def judge(path, expected):
        judged.append(path)
        return fault() if len(judged) == number + 1 else checkpoints.judge(path, expected)

    return judge


@pytest.mark.parametrize(
    ('fault', 'outcome'),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), 'the process ends with -9'),
        (lambda: time.sleep(60), 'hangs for 2 s'),
    ],
    ids=['crash', 'hang'],
)
def test_what_ends_a_process_is_noticed(fault, outcome, tmp_path):
    cases = found(3, tmp_path, judged=at(2, fault), seconds=2)
    assert len(cases) == 3
    assert [case[3] == outcome for case in cases] == [False, False, True]


def test_memory_is_bounded(tmp_path):
    def greedy(path, expected):
        try:
            return str(len(bytes(2 * checkpoints.MEMORY)))
        except MemoryError:
            return 'no memory'

    assert found(1, tmp_path, judged=greedy)[0][3] == 'no memory'


def test_without_the_patch_there_are_faults(tmp_path, monkeypatch):
    """With MMEngine's own way, torch.load alone, changed weights are loaded."""
    loader = lambda path, map_location: torch.load(path, map_location, weights_only=True)  # noqa: E731
    originals = checkpoints.originals(tmp_path)
    monkeypatch.setitem(checkpoint.CheckpointLoader._schemes, '', loader)
    monkeypatch.setattr(checkpoints, 'originals', lambda folder: originals)
    cases = found(63, tmp_path)
    broken = Counter(kind for _, kind, _, o in cases if not checkpoints.is_promised(kind, o))
    assert broken['torch'] and broken['legacy']
