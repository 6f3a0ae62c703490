"""The demo's stages: progress, what is done before, and failure; the report."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from wamim_mm.cli.progress import Progress, clock
from wamim_mm.demo import report
from wamim_mm.demo import runner as demo


def test_a_stage_runs_once_and_logs(tmp_path, capsys):
    product, log = tmp_path / 'product', tmp_path / 'task' / 'stage.log'
    code = f'print("noise of a library"); open({str(product)!r}, "w").close()'
    for _ in range(2):
        demo.stage('a stage', ['-c', code], log, product)
    shown = capsys.readouterr().out
    assert 'done before' in shown and 'noise' not in shown
    assert log.read_text().count('noise of a library') == 1


def test_a_failed_stage_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(SystemExit, match=r'(?s)a stage failed; the whole log is in .*the reason'):
        demo.stage(
            'a stage', ['-c', 'raise SystemExit("the reason")'], tmp_path / 'log', tmp_path / 'no'
        )


def test_results_of_other_configs_are_kept_and_refused(tmp_path):
    demo.refuse_other_demo(tmp_path)
    demo.refuse_other_demo(tmp_path)  # the same demo goes on
    (tmp_path / 'recipe').write_text('of another version')
    with pytest.raises(SystemExit, match=r'configs/demo has changed.*--out'):
        demo.refuse_other_demo(tmp_path)
    assert (tmp_path / 'recipe').read_text() == 'of another version'


def test_shares():
    assert demo.tqdm_share('') == 0
    assert demo.tqdm_share('features:  50%|##  | 10/100 [0\rfeatures | 30/120 [00:10<') == 0.25
    line = 'Epoch(train)  [3][ 50/100]  lr: 1e-3  eta: 0:01:00'
    assert demo.training_share(line, 5) == 0.5
    assert demo.training_share('Iter(train) [ 50/100]  lr: 1e-3', 5) == 0.4
    validation = 'Iter(train) [100/100] lr\nIter(val) [ 5/10]'
    assert demo.training_share(validation, 5) == pytest.approx(0.9)
    assert demo.training_share('Iter(val) [ 5/10]', 5) == pytest.approx(0.9)
    assert clock(125.9) == '2:05'


def test_epochs_are_those_of_the_config(tmp_path):
    (tmp_path / '_base_.py').write_text('max_epochs = 8')
    for text, expected in (("_base_ = './_base_.py'", 8), ('max_epochs = 3', 3)):
        (tmp_path / 'a.py').write_text(text)
        assert demo.epochs(tmp_path / 'a.py') == expected
    for config, _ in demo.RUNS.values():
        path = demo.config_of(config)
        assert demo.epochs(path) == Config.fromfile(path).train_cfg.max_epochs


def test_validation_stays_within_the_scenes():
    cfg = Config.fromfile(demo.config_of('upernet_swin'))
    count = demo.SCENES // 5
    assert count - 4 <= max(cfg.val_dataloader.dataset.indices) < count


def test_the_readme_says_what_a_run_gave():
    """Its table has the numbers of the file that the demo wrote."""
    root = Path(__file__).parents[2]
    written = json.loads((root / 'docs/results/demo.json').read_text())
    probes = [written['runs'][run]['probe'] for run in ('vit', 'swin', 'mfm')]
    noise = [probe['corruptions']['gaussian_noise'] for probe in probes]

    def percent(scores, source):
        return ', '.join(f'{score[source]:.1%}'.replace('%', ' %') for score in scores)

    rows = [
        tuple(percent(scores, source) for source in ('pretrained', 'random'))
        for scores in (probes[:2], probes[2:], noise)
    ]
    rows += [
        tuple(
            ', '.join(f'{number:.1f}' for number in written['downstream'][task][source].values())
            for source in ('pre-trained', 'scratch')
        )
        for task in ('mask-rcnn_swin', 'upernet_swin')
    ]
    readme = (root / 'README.md').read_text()
    for row in rows:
        assert f'| {row[0]} | {row[1]} |\n' in readme


def test_report(tmp_path):
    """From what a run leaves behind, resumed once, to the two files."""
    run = tmp_path / 'vit'
    for name, steps in (('20260101', (10, 20, 30)), ('20260102', (30, 40))):
        (run / name / 'vis_data').mkdir(parents=True)
        lines = [
            json.dumps(dict(step=s, loss=4 - s / 40, loss_level2=3 - s / 40, time=0.5))
            for s in steps
        ]
        (run / name / 'vis_data' / 'scalars.json').write_text('\n'.join(lines))
    (run / 'reconstruction.png').write_bytes(b'png')
    probe = dict(
        pretrained=0.4,
        random=0.2,
        random_seeds=[0.1, 0.3],
        chance=0.1,
        train_images=5,
        val_images=2,
        corruptions=dict(fog=dict(pretrained=0.3, random=0.1)),
    )
    (run / 'probe.json').write_text(json.dumps(probe))
    for start, share in (('pre-trained', 0.25), ('scratch', 0.125)):
        logs = tmp_path / 'det' / start / '20260101' / 'vis_data'
        logs.mkdir(parents=True)
        lines = [{'coco/bbox_mAP': 0.01}, {'coco/bbox_mAP': share, 'coco/segm_mAP': share / 2}]
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    (tmp_path / 'det' / 'pictures').mkdir()
    (tmp_path / 'det' / 'pictures' / 'a.png').write_bytes(b'png')
    metrics = report.write_report(tmp_path, {'vit': 'A <ViT>'}, {'det': 'Detector'})
    assert json.loads((tmp_path / 'metrics.json').read_text()) == metrics
    assert metrics['runs']['vit']['iterations'] == 40
    assert metrics['runs']['vit']['loss_first']['loss'] == 3.75
    assert metrics['runs']['vit']['loss_last']['loss_level2'] == 2
    page = (tmp_path / 'report.html').read_text()
    assert '40.0%' in page and 'A &lt;ViT&gt;' in page and page.count('data:image/png') == 4
    assert metrics['downstream']['det']['scratch'] == {'box AP': 12.5, 'mask AP': 6.25}
    assert 'Detector, mask AP</td><td class="number">12.5</td>' in page


def test_time_left_of_a_resumed_stage(capsys, monkeypatch):
    """What an earlier run did tells nothing of the speed of this one."""
    now = [100.0]
    monkeypatch.setattr('wamim_mm.cli.progress.time.time', lambda: now[0])
    progress = Progress('a stage')
    for share in (0.5, 0.75):
        now[0] += 20 if share > 0.5 else 0
        progress.show(share)
    assert 'about' not in capsys.readouterr().out.splitlines()[0]
    now[0] += 20
    progress.show(0.75 + 0.25 / 2)
    assert 'about 0:13 left' in capsys.readouterr().out
