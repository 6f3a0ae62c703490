"""The sentences of a run's page."""

import json

import pytest
import torch
from mmengine.config import Config

from wamim_mm.cli import report
from wamim_mm.cli.report import Run, curves_section, meaning
from wamim_mm.cli.work_dir import last_checkpoint
from wamim_mm.evaluation.healthy_losses import Band, healthy_band, healthy_bands, levels_of
from wamim_mm.evaluation.models import build_model


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


def test_only_normalized_levels_have_a_line_of_nothing(root):
    cfg = Config.fromfile(root / 'configs/study/wamim_vit.py')
    assert levels_of(build_model(cfg)) == ((1, 2, 3), (0.8, 1.0, 1.2))
    cfg.model.target_generator.norm = 'none'
    assert levels_of(build_model(cfg)) == ((), ())
    for other in ('maskfeat_vit', 'mfm_vit'):
        cfg = Config.fromfile(root / f'configs/study/{other}.py')
        assert levels_of(build_model(cfg)) == ((), ())


def test_levels_and_weights_that_a_config_leaves_at_their_defaults(root):
    cfg = Config.fromfile(root / 'configs/demo/wamim_vit.py')
    del cfg.model.head['loss_weights']
    del cfg.model.target_generator['levels']
    assert levels_of(build_model(cfg)) == ((2, 3, 4, 5), (0.8, 0.9, 1.1, 1.2))


def test_bands_are_those_of_the_same_normalization_and_unit(root):
    cfg = Config.fromfile(root / 'configs/study/wamim_vit.py')
    for norm in ('subband', 'block'):
        cfg.model.target_generator.norm = norm
        assert healthy_bands(build_model(cfg)) == {
            level: healthy_band('vit', level, 4, norm) for level in (1, 2, 3)
        }
    cfg.model.target_generator.norm = 'token'  # nothing was measured
    assert healthy_bands(build_model(cfg)) == {}


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
        patch.setattr('wamim_mm.evaluation.models.build_model', lambda cfg: None)
        patch.setattr('wamim_mm.evaluation.healthy_losses.levels_of', lambda model: ((2,), (1.0,)))
        patch.setattr('wamim_mm.evaluation.healthy_losses.healthy_bands', lambda model: {})
        patch.setattr(report, 'meaning', lambda losses, seen, band: drawn.append(seen) or '')
        curves_section(run)
    assert drawn == [[40 * processes, 80 * processes]]


def test_classes_of_the_users_own(root, tmp_path, monkeypatch):
    (tmp_path / 'own_vit.py').write_text(
        'from mmpretrain.registry import MODELS\n'
        'from wamim_mm import WaMIMViT\n'
        '@MODELS.register_module()\n'
        'class OwnViT(WaMIMViT):\n'
        '    pass\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = Config.fromfile(root / 'configs/study/wamim_vit.py')
    cfg.model.backbone.type = 'OwnViT'
    cfg.custom_imports = dict(imports=['wamim_mm', 'own_vit'])
    logs = tmp_path / '2026/vis_data'
    logs.mkdir(parents=True)
    (logs / 'config.py').write_text(cfg.pretty_text)
    steps = [{'step': step, 'loss': 2.0} for step in (10, 20)]
    steps = [step | {f'loss_level{level}': 0.7 for level in (1, 2, 3)} for step in steps]
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, steps)))
    run = Run(tmp_path)
    assert run.title == 'WaMIM, OwnViT, on cifar10'
    assert 'level 3' in curves_section(run)


def test_the_checkpoint_of_a_run(tmp_path):
    """Beside the run's folder, and in a folder that was moved."""
    logs = tmp_path / 'run/2026/vis_data'
    logs.mkdir(parents=True)
    (logs / 'config.py').write_text('train_dataloader = dict(batch_size=4)')
    (logs / 'scalars.json').write_text('{"step": 1, "loss": 1.0}')
    (tmp_path / 'kept').mkdir()
    for place, pointer in (
        (tmp_path / 'kept/epoch_1.pth', '../kept/epoch_1.pth'),
        (tmp_path / 'run/epoch_2.pth', '/gone/epoch_2.pth'),
    ):
        torch.save(dict(meta=dict(iter=len(pointer))), place)
        (tmp_path / 'run/last_checkpoint').write_text(pointer)
        assert Run(tmp_path / 'run').checkpoint.samefile(place)
        assert last_checkpoint(tmp_path / 'run').samefile(place)
    # Saved, but killed before the pointer was; or without a pointer.
    torch.save(dict(meta=dict(iter=99)), tmp_path / 'run/epoch_3.pth')
    for pointer in ('epoch_2.pth', 'epoch_4.pth'):
        (tmp_path / 'run/last_checkpoint').write_text(pointer)
        assert last_checkpoint(tmp_path / 'run') == tmp_path / 'run/epoch_3.pth'
        assert Run(tmp_path / 'run').checkpoint == tmp_path / 'run/epoch_3.pth'
    for file in tmp_path.glob('run/epoch_*.pth'):
        file.unlink()
    assert Run(tmp_path / 'run').checkpoint is None
    with pytest.raises(FileNotFoundError, match='no checkpoint of a run in'):
        last_checkpoint(tmp_path / 'run')
