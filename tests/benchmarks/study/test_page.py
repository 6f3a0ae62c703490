"""Charts, tables and bands of the study, from records made by hand and the real ones."""

import json
import math
import re
from statistics import mean

import pytest

from benchmarks.study import bands, page, plan, records, tables
from benchmarks.study.found import Found, methods, name
from benchmarks.study.plan import BUDGETS, HEADLINE, Finetuning, Run
from wamim_mm.evaluation.healthy_losses import BANDS

BUDGET = BUDGETS['cpu']


def test_the_page_follows_from_the_records():
    assert page.PAGE.read_text() == page.page(), 'run python -m benchmarks.study.page'


def test_the_texts_say_what_the_records_say():
    found = Found(BUDGET, records.RESULTS)

    def ratio(encoder, rival, score, own=None):
        return re.search(r'\*\*([\d.]+)\*\*', tables.ratio(found, encoder, rival, score, own))[1]

    ours, mae = 'study/wamim_vit', 'study/mae_vit'
    ends = [f'{mean(found.scores(config, 4, "finetuned")):.1f}' for config in (ours, mae)]
    cheaper = f'{found.cost(ours, 4) / found.cost(mae, 4):.2f}'
    readme, text = (
        ' '.join(path.read_text().split())
        for path in (page.PAGE.parents[1] / 'README.md', page.PAGE)
    )
    for said, words in (
        (readme, r'accuracy, ([\d.]+) and ([\d.]+) % fine-tuned .*, WaMIM at ([\d.]+) of MAE'),
        (
            text,
            r"end level, ([\d.]+) and ([\d.]+) % fine-tuned .*, at ([\d.]+) of MAE's cost, which",
        ),
    ):
        assert re.search(words, said).groups() == (*ends, cheaper)
    assert 'not reached' in tables.ratio(found, 'vit', mae, 'finetuned')
    for score, words in (
        ('probe_all', r'from one epoch on, ([\d.]+) and ([\d.]+) % after four'),
        ('knn', r'and ([\d.]+) against ([\d.]+) % after four\.'),
        ('corrupted', r'([\d.]+) after four\), and MAE is above it .* seed, and ([\d.]+), three'),
    ):
        expected = [f'{mean(found.scores(config, 4, score)):.1f}' for config in (ours, mae)]
        assert list(re.search(words, text).groups()) == expected, score
    seen = [25, 50, 100, 200]
    few = [found.scores(ours, epochs, 'finetuned', images=1000) for epochs in seen]
    words = r'50, 100 and 200 times, give ([\d.]+), ([\d.]+), ([\d.]+) and ([\d.]+) %; all 50,000'
    assert list(re.search(words, text).groups()) == [f'{mean(scores):.1f}' for scores in few]
    table = text[text.index('### Transfer') :]
    rows = [
        re.search(rf'\| {source} \| ([\d.]+) [^|]*\|[^|]*\| ([\d.]+) ', table).groups()
        for source in ('WaMIM', 'MAE', 'scratch')
    ]
    words = (
        r"mIoU is ([\d.]+) from WaMIM, ([\d.]+) from MAE and ([\d.]+) from scratch, Mask R-CNN's "
    )
    words += r'box AP ([\d.]+), ([\d.]+) and ([\d.]+\d)'
    for said in (text, ' '.join((page.PAGE.parent / 'choosing.md').read_text().split())):
        found_there = re.search(words, said).groups()
        assert found_there == (*(row[1] for row in rows), *(row[0] for row in rows))
    words = r'below it fine-tuned, which WaMIM reaches at ([\d.]+) of its cost'
    assert re.search(words, text)[1] == ratio('vit', 'study/mae-light_vit', 'finetuned')
    words = r"reaches SimMIM's end at ([\d.]+) of what its four epochs cost"
    assert re.search(words, text)[1] == ratio('swin', 'study/simmim_swin', 'finetuned')
    words, narrow = r'is reached at ([\d.]+) of its cost', 'ablation/cifar10/decoder_dim-32_vit'
    assert re.search(words, text)[1] == ratio('vit', mae, 'finetuned', narrow)
    subband = ('swin', 'study/simmim_swin', 'finetuned', 'study/wamim-subband_swin')
    assert "does not reach SimMIM's end" in text and 'not reached' in tables.ratio(found, *subband)


def test_the_bands_follow_from_the_records():
    assert BANDS.read_text() == bands.text(), 'run python -m benchmarks.study.bands'


def test_a_band_is_of_all_runs():
    curves = [
        [(2, {1: 1.0}), (4, {1: 0.8}), (8, {1: 0.6})],
        [(2, {1: 1.2}), (4, {1: 0.7}), (16, {1: 0.1})],
    ]
    found = bands.band(curves, 1)
    assert found['images'] == [2, 3, 4, 6, 8]  # a single curve is no band
    at = dict(zip(found['images'], zip(found['low'], found['high'], strict=True), strict=True))
    assert at[2] == (1.0, 1.2) and at[4] == (0.7, 0.8) and at[8] == (0.5, 0.6)


def test_where_a_curve_reaches_a_score():
    curve = [(1.0, [40.0]), (4.0, [49.0, 51.0]), (16.0, [52.0])]
    assert tables.reached(curve, 45.0) == (pytest.approx(2.0), False)  # half-way on a log axis
    assert tables.reached(curve, 50.0) == (pytest.approx(4.0), False)
    assert tables.reached(curve, 39.0) == (1.0, True)
    assert tables.reached(curve, 52.1) is None


def entry(task):
    """A task's record, without what it found."""
    return dict(
        key=task.key,
        status='done',
        kind=task.kind,
        config=task.config,
        config_hash=plan.config_hash(task.config),
        encoder=task.encoder,
        **task.facts,
        machine=dict(cores=2, cpu='a CPU', gpus=[]),
        versions=dict(python='3', torch='2'),
    )


@pytest.fixture
def results(tmp_path):
    """Records in which WaMIM reaches MAE's final score at a quarter of its cost."""
    path = tmp_path / 'cpu.jsonl'

    def add(task, **found):
        records.append(path, entry(task) | found)

    for config, seconds in (('study/wamim_vit', 0.1), ('study/mae_vit', 0.2)):
        for lr in BUDGET.lrs:
            score = 30.0 + (lr == 1e-3)
            run = Run(config, 0.5, lr, 0)
            add(Finetuning(run, 0.1, 5, validates=True), scores=dict(validation=score))
        for epochs in BUDGET.epochs:
            for seed in (0, 1):
                run = Run(config, epochs, 1e-3, seed)
                value = 40 + 3 * math.log2(epochs) + 3 * (config == 'study/wamim_vit')
                add(run, scores=dict(probe_all=value, probe_last=1, knn=1, validation=1))
                scores = dict(finetuned=value + seed - 0.5)
                add(Finetuning(run, 0.1, 5), share=0.1, scores=scores)
        cost = dict(seconds=[seconds] * 3, seconds_per_step=seconds, flops_per_image=1e9)
        given = dict(kind='cost', parameters=1_000_000, encoder='vit')
        add(Run(config, 0, 0, 0), **given | cost, key=f'cost/{config}')
    add(Run('study/mae_vit', 8, 1e-3, 2), status='failed', error='ValueError: no')
    return tmp_path


def test_tables(results):
    found = Found(BUDGET, results)
    # Half of MAE's epochs at half the cost of a step.
    assert (
        '| ViT: MAE | **0.25** (5.2 of 20.8 minutes; its 2 seeds: 0.22 to 0.28; in the end 52.0 '
        'against 49.0 % after 8 epochs) |'
    ) in tables.ratios(found)
    assert '| MAE | 8 | 20.8 | 49.0 ± 0.7 (2) |' in tables.accuracies(found, 'vit')
    assert '| ViT, MAE | 30.0 | **31.0** | 30.0 |' in tables.tuned(found)
    assert '| ViT, MAE | 200 | 2.00 (2.00 to 2.00) | 1.00 | 1.0 |' in tables.costs(found)
    assert 'failed: `study/mae_vit/8ep/lr0.001/seed2` (ValueError: no)' in tables.missing(found)
    assert page.chart(found, 'vit')[:4] == b'\x89PNG' and page.chart(found, 'swin') is None


def test_final_is_the_longest_run_of_both(results):
    lines = (results / 'cpu.jsonl').read_text().splitlines()
    kept = [line for line in lines if not re.search(r'wamim_vit/(4|8)ep|mae_vit/2ep/.*seed1', line)]
    (results / 'cpu.jsonl').write_text('\n'.join(kept) + '\n')
    shown = tables.ratios(Found(BUDGET, results))
    assert '**0.25** (1.3 of 5.2 minutes; one seed; in the end 46.0 against' in shown


def test_a_change_is_held_against_the_run_of_its_seed(results):
    change = Run('ablation/cifar10/ratio_90_vit', 1, 1e-3, 0)
    record = entry(change) | dict(scores=dict(probe_all=44.0, probe_last=2, knn=1))
    records.append(results / 'cpu.jsonl', record)
    tuned = Finetuning(change, 0.1, 5)
    records.append(results / 'cpu.jsonl', entry(tuned) | dict(scores=dict(finetuned=43.0)))
    row = '| ViT, ratio_90 | 44.0 (+1.0) | 2.0 (+1.0) | 1.0 (+0.0) | 43.0 (+0.5) |'
    assert row in tables.ablation_rows(Found(BUDGET, results), 1)
    assert tables.ablation_rows(Found(BUDGET, results), 4) == 'Not run yet.\n'


def test_a_variant_against_the_rival(results):
    """It takes WaMIM's learning rate, and is held against MAE as WaMIM is."""
    narrow = 'ablation/cifar10/decoder_dim-32_vit'
    for epochs, score in ((2, 46.0), (4, 52.0)):
        record = entry(Finetuning(Run(narrow, epochs, 1e-3, 0), 0.1, 5))
        add = dict(share=0.1, scores=dict(finetuned=score))
        records.append(results / 'cpu.jsonl', record | add)
    cost = dict(seconds=[0.1] * 3, seconds_per_step=0.1, flops_per_image=1e9, parameters=1_000_000)
    given = dict(key=f'cost/{narrow}', kind='cost', encoder='vit')
    records.append(results / 'cpu.jsonl', entry(Run(narrow, 0, 0, 0)) | given | cost)
    found = Found(BUDGET, results)
    # MAE ends after four epochs at 46 %, which the variant has after two of half the cost.
    assert (
        '| ViT: MAE, by decoder_dim-32 | **at most 0.25** (2.6 of 10.4 minutes; its 2 seeds: '
        'at most 0.25 to 0.26; in the end 52.0 against 46.0 % after 4 epochs) |'
    ) in tables.ratios(found)
    assert '| decoder_dim-32 | 4 | 5.2 | 52.0 | - | - | - | - |' in tables.accuracies(found, 'vit')


def test_what_is_repeated_with_all_seeds(results):
    tried = records.current(results / 'cpu.jsonl')
    planned = {task.key for task in plan.ablations(BUDGET, tried)}
    runs = [
        Run('ablation/cifar10/decoder_dim-32_vit', epochs, 1e-3, seed)
        for epochs in (2, 4)
        for seed in (0, 1, 2)
    ]
    assert {task.key for run in runs for task in (run, Finetuning(run, 0.1, 5))} <= planned
    # No rate is chosen for the Swin yet.
    assert not any('wamim-subband_swin' in key for key in planned)


def test_changes_that_are_run_for_longer(results):
    """They are scored on validation images too; the run that they change has a score of those."""
    own, change = (
        Run(config, 4, 1e-3, 0) for config in ('study/wamim_vit', 'ablation/cifar10/levels_2-3_vit')
    )
    record = entry(change) | dict(scores=dict(probe_all=44.0, probe_last=2, knn=1, validation=9))
    records.append(results / 'cpu.jsonl', record)
    assert '| - |' in tables.ablation_rows(Found(BUDGET, results), 4)
    for run, score in ((own, 50.0), (change, 50.5)):
        task = Finetuning(run, 0.1, 5, validates=True)
        records.append(results / 'cpu.jsonl', entry(task) | dict(scores=dict(validation=score)))
    tried = records.current(results / 'cpu.jsonl')
    planned = {task.key for task in plan.ablations(BUDGET, tried)}
    assert {own.key, change.key, task.key, Finetuning(change, 0.1, 5).key} <= planned
    assert '50.5 (+0.5) |' in tables.ablation_rows(Found(BUDGET, results), 4)


def test_few_images(results):
    assert tables.few_images(Found(BUDGET, results)) == 'Not run yet.\n'
    few = list(plan.small(BUDGET, records.current(results / 'cpu.jsonl')))
    before = tables.accuracies(Found(BUDGET, results), 'vit')
    for task in few:
        if isinstance(task, Run) and task.images == 1000:
            found = dict(scores=dict(probe_all=33.0, probe_last=1, knn=1), status='done')
            records.append(results / 'cpu.jsonl', entry(task) | found)
    found = Found(BUDGET, results)
    rows = tables.few_images(found).splitlines()
    assert rows[0] == '| images | score | 25,000 seen | 50,000 seen | 100,000 seen | 200,000 seen |'
    assert '| 1,000 | probe, all features | 33.0 | 33.0 | 33.0 | 33.0 |' in rows
    assert '| 50,000 | probe, all features | 40.0 ± 0.0 (2) |' in tables.few_images(found)
    assert tables.accuracies(found, 'vit') == before


def test_records_of_another_config_do_not_count(results):
    lines = (results / 'cpu.jsonl').read_text().splitlines()
    changed = [json.dumps(json.loads(line) | dict(config_hash='other')) for line in lines]
    (results / 'cpu.jsonl').write_text('\n'.join(changed) + '\n')
    assert Found(BUDGET, results).done == {}


def test_every_method_has_a_name():
    names = [name(c) for e in HEADLINE for c in methods(e)]
    assert 'WaMIM' in names and 'WaMIM, one level' in names and len(set(names)) == 10


@pytest.mark.parametrize(
    ('run', 'change'),
    [
        (dict(), None),
        (dict(lr=2e-3), 'learning rate 0.002'),
        (dict(config='ablation/cifar10/ratio_90_vit', lr=2e-3), 'ratio_90'),
        (dict(config='study/wamim-subband_vit'), 'norm by subband, learning rate 0.001'),
        (dict(config='study/mae_vit'), None),
        (dict(lr=2e-3, images=1000), None),
        (dict(lr=2e-3, seed=1), None),
        (dict(lr=2e-3, kind='finetuning'), None),
    ],
)
def test_what_a_run_changes(run, change):
    own = dict(kind='pretraining', config='study/wamim_vit', epochs=1, lr=1e-3, seed=0)
    assert tables.changed(own | run, 'study/wamim_vit', 1e-3) == change


def test_a_record_follows_its_config_to_another_name(tmp_path):
    config = 'study/wamim-subband_vit'
    old = dict(
        key='study/wamim_vit/1ep/lr0.001/seed0',
        config='study/wamim_vit',
        config_hash=plan.config_hash(config),
        status='done',
    )
    new = dict(old, config_hash=plan.config_hash('study/wamim_vit'))
    gone = dict(old, key='study/gone/1ep', config='study/gone', config_hash='0')
    for record in (old, new, gone):
        records.append(tmp_path / 'r.jsonl', record)
    found = records.read(tmp_path / 'r.jsonl')
    assert found[f'{config}/1ep/lr0.001/seed0']['config'] == config
    assert found[old['key']] == new and found['study/gone/1ep'] == gone
    assert 'study/gone/1ep' not in records.current(tmp_path / 'r.jsonl')
