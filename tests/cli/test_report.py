"""The sentences of a run's page."""

import json

import pytest
import torch
from mmengine.config import Config

from wamim_mm.cli import report
from wamim_mm.cli.report import Run, healthy_bands, levels_of, meaning
from wamim_mm.evaluation.healthy_losses import Band, healthy_band


@pytest.mark.parametrize(
    ('loss', 'expected'),
    [
        (1.2, '0% of the energy recovered, loss 1.200: no better than predicting nothing yet'),
        (0.75, '25% of the energy recovered, loss 0.750'),
    ],
)
def test_without_a_band(loss, expected):
    assert meaning([2.0, loss], [10, 20], None) == expected


@pytest.mark.parametrize(('loss', 'where'), [(0.9, 'above'), (0.75, 'within'), (0.5, 'below')])
def test_beside_the_band(loss, where):
    band = Band((10, 1000), (0.7, 0.7), (0.8, 0.8))
    assert meaning([loss], [100], band).endswith(f'; {where} the healthy band of 0.70 to 0.80 here')
    assert 'band' not in meaning([loss], [2000], band)  # nobody has measured there


def test_only_normalized_levels_have_a_line_of_nothing():
    cfg = Config(dict(model=dict(target_generator=dict(levels=(1, 2)), head=dict())))
    cfg.model.head.loss_weights = (0.8, 1.2)
    assert levels_of(cfg) == ((1, 2), (0.8, 1.2))
    cfg.model.target_generator.norm = 'none'
    assert levels_of(cfg) == ((), ())
    assert levels_of(Config(dict(model=dict(head=dict())))) == ((), ())


def test_bands_are_those_of_the_same_normalization_and_unit(root):
    cfg = Config.fromfile(root / 'configs/study/wamim_vit.py')
    for norm in ('subband', 'block'):
        cfg.model.target_generator.norm = norm
        assert healthy_bands(cfg, (1, 2, 3)) == {
            level: healthy_band('vit', level, 4, norm) for level in (1, 2, 3)
        }
    cfg.model.target_generator.norm = 'token'  # nothing was measured
    assert healthy_bands(cfg, (1, 2, 3)) == {}


@pytest.mark.parametrize(
    ('loop', 'checkpoint', 'processes', 'expected'),
    [
        (dict(max_epochs=2), 'iter_20.pth', 1, 'Finished: epoch 2 of 2, 80 images seen'),
        (dict(max_epochs=2), 'iter_19.pth', 1, 'Not finished: epoch 2 of 2, 80 images seen'),
        (dict(max_epochs=2), 'last.pth', 1, 'Not finished: epoch 2 of 2, 80 images seen'),
        (dict(max_epochs=2), 'epoch_2.pth', 1, 'Finished: epoch 2 of 2, 80 images seen'),
        (dict(max_epochs=3), 'epoch_2.pth', 8, 'Not finished: epoch 2 of 3, 640 images seen'),
        (dict(max_iters=20), 'iter_20.pth', 2, 'Finished: step 20 of 20, 160 images seen'),
    ],
)
def test_how_far_a_run_is(loop, checkpoint, processes, expected, tmp_path):
    """Images are those of all processes."""
    config = dict(
        train_cfg=loop,
        train_dataloader=dict(batch_size=4),
        model=dict(target_generator=dict(levels=(2,)), head=dict(loss_weights=(1.0,))),
    )
    config |= dict(processes=processes) if processes > 1 else {}
    logs = tmp_path / '2026/vis_data'
    logs.mkdir(parents=True)
    (logs / 'config.py').write_text(Config(config).pretty_text)
    steps = [
        dict(step=step, epoch=step // 10, loss=0.8, loss_level2=0.8, time=2.0) for step in (10, 20)
    ]
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, steps)))
    most = 10 * loop['max_epochs'] if 'max_epochs' in loop else 20
    saved = dict(message_hub=dict(runtime_info=dict(max_iters=most)), meta=dict(iter=20))
    saved['meta']['iter'] -= checkpoint == 'iter_19.pth'
    torch.save({} if checkpoint == 'last.pth' else saved, tmp_path / checkpoint)
    (tmp_path / 'last_checkpoint').write_text(checkpoint)
    run = Run(tmp_path)
    assert run.state.startswith(expected)
    assert f'{4 * processes / 2:,.0f} images/s' in run.state
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, 'healthy_bands', lambda cfg, levels: {})
        patch.setattr(report, 'meaning', lambda losses, seen, band: drawn.append(seen) or '')
        report.curves_section(run)
    assert drawn == [[40 * processes, 80 * processes]]
