"""The cost of a step is measured for every kind of method."""

import pytest

from benchmarks.study import cost
from benchmarks.study.plan import Budget, config_hash


@pytest.mark.slow
def test_measured_in_turns(monkeypatch):
    """mmpretrain's mask generators, the study's own targets, and ours."""
    configs = ('study/wamim_swin', 'study/simmim_swin', 'study/pixels_swin')
    monkeypatch.setattr(cost, 'HEADLINE', dict(swin=configs))
    monkeypatch.setattr(cost, 'ONE_SEED', dict(swin=('study/maskfeat_vit',)))
    monkeypatch.setattr(cost, 'LONG_ABLATIONS', dict(swin=()))
    monkeypatch.setattr(cost, 'STEPS', dict(cpu=1))
    budget = Budget('tiny', 'cpu', 2, (1,), (1e-3,), workers=0)
    found = {record['config']: record for record in cost.measure('swin', budget, rounds=2)}
    assert found.keys() == {*configs, 'study/maskfeat_vit'}
    for config, record in found.items():
        assert record['status'] == 'done', record.get('error')
        assert record['config_hash'] == config_hash(config)
        assert len(record['seconds']) == 2 and record['seconds_per_step'] > 0
    # A dense Swin against one that sees a quarter.
    flops = {config: record['flops_per_image'] for config, record in found.items()}
    assert flops['study/simmim_swin'] > 2 * flops['study/wamim_swin']
    assert flops['study/pixels_swin'] == pytest.approx(flops['study/wamim_swin'])
