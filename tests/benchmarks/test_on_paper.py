"""Hours and dollars, worked out by hand."""

import json

import pytest
import torch

from benchmarks import on_paper
from benchmarks.on_paper import CountOperators, Facts, facts, rows_of, step

FOUND = Facts(flops=30e9, parameters=90_000_000, operators=1000, core_seconds=1e-3)


def test_one_gpu_computes():
    """Eight passes of 256 images on one, at 40 % of 312 TFLOP/s."""
    one = step(FOUND, 'vit', 1)
    assert one['batch'] == 2048 and one['batch_of_a_gpu'] == 256 and one['limit'] == 'computation'
    computation = 2048 * 30e9 / (0.4 * 312e12)
    assert one['computation'] == pytest.approx(computation)
    assert one['seconds'] == pytest.approx(computation + 8 * on_paper.WAIT)


def test_many_gpus_wait_for_gradients():
    """32 images on each of 64, and 8, which is a larger batch, on each of 512."""
    one = step(FOUND, 'vit', 64)
    reduce = 2 * 63 / 64 * 4 * 90e6 / 25e9
    assert one['batch_of_a_gpu'] == 32 and one['limit'] == 'all-reduce'
    assert one['seconds'] == pytest.approx(32 * 30e9 / (0.4 * 312e12) + reduce + on_paper.WAIT)
    assert step(FOUND, 'vit', 512)['batch'] == 4096


@pytest.mark.parametrize(
    ('changed', 'limit'),
    [(dict(core_seconds=0.05), 'input'), (dict(operators=10**6), 'launches')],
)
def test_what_limits(changed, limit):
    one = step(Facts(**(vars(FOUND) | changed)), 'vit', 8)
    assert one['limit'] == limit
    expected = dict(input=256 * 0.05 / on_paper.CORES, launches=10**6 * on_paper.LAUNCH)[limit]
    assert one[limit] == pytest.approx(expected)


def test_rows():
    rows = rows_of('vit-b', FOUND)
    assert len(rows) == len(on_paper.GPUS) * len(on_paper.DATA)
    row = next(row for row in rows if row['gpus'] == 8 and row['images'] == 10**9)
    assert row['hours'] == pytest.approx(2e9 / 2048 * row['seconds'] / 3600)
    assert row['dollars'] == pytest.approx(8 * row['hours'] * on_paper.DOLLARS)
    assert row['storage_bytes_a_second'] == pytest.approx(2048 * 110_000 / row['seconds'])
    assert '1,000.0 M x 2' in on_paper.table(rows, markdown=True)


def test_views_are_no_operators():
    x = torch.rand(4, 6, requires_grad=True)
    with CountOperators() as counted:
        x.view(6, 4).t()[0]
    assert counted.count == 0
    with CountOperators() as counted:
        (x * 2).sum().backward()
    # mul and sum; ones for the gradient, and mul; the expansion is a view.
    assert 4 <= counted.count <= 5


def test_facts_come_from_the_files(root, tmp_path, monkeypatch):
    results = root / 'docs' / 'results'
    for name in ('scaling', 'geometry'):
        file = f'bench_{name}.json'
        (tmp_path / file).write_text((results / file).read_text())
    monkeypatch.setattr(on_paper, 'operators', lambda encoder: 7)
    with pytest.raises(FileNotFoundError, match='bench_inputs'):
        facts('swin-l', tmp_path)
    rates = {'500x375': dict(images_per_second=dict(wamim_mm=500.0))}
    (tmp_path / 'bench_inputs.json').write_text(json.dumps(dict(results=rates)))
    found = facts('swin-l', tmp_path)
    assert found.parameters > 190e6 and found.operators == 7
    assert 1 / 500 < found.core_seconds < 1 / 500 + 0.001
