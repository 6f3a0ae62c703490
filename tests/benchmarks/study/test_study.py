"""The study's runs: they are complete, comparable, repeatable, and go on where they stopped."""

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from benchmarks.study import __main__ as command
from benchmarks.study import plan, pretraining, records, scores, transfer
from benchmarks.study.data import Images
from benchmarks.study.plan import BUDGETS, HEADLINE, ONE_SEED, Budget, Finetuning, Run, Stage

CONFIGS = [c for group in (HEADLINE, ONE_SEED) for configs in group.values() for c in configs]
CONFIGS.append('study/mfm_resnet')
CHANGED_MFM = [f'study/mfm/{path.stem}' for path in (plan.CONFIGS / 'study/mfm').glob('*.py')]
FINETUNED = ('test', 'corrupted')
TINY = Budget('tiny', 'cpu', 8, (0.5, 1, 2), (1e-3, 2e-3), workers=0)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def images(count, seed=0):
    draws = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=draws)
    return Images(pixels, torch.arange(count) % 10)


def test_every_config_is_in_the_study():
    files = {f'study/{p.stem}' for p in (plan.CONFIGS / 'study').glob('[!_]*.py')}
    assert files == set(CONFIGS)


def test_mfm():
    budget = BUDGETS['cpu']
    first = list(plan.mfm(budget, {}))
    assert {run.epochs for run in first if isinstance(run, Run)} == {0, budget.epochs[0]}
    planned = plan.mfm(budget, tuned(budget, *plan.PUBLISHED_MFM))
    later = [task for task in planned if isinstance(task, Run)]
    changes = {run.config for run in later if run.config.startswith('study/mfm/')}
    assert changes == {f'study/mfm/{p.stem}' for p in (plan.CONFIGS / 'study/mfm').glob('*.py')}
    for config in plan.PUBLISHED_MFM:
        assert {run.epochs for run in later if run.config == config} == set(budget.epochs)


@pytest.mark.gpu
@pytest.mark.parametrize('config', CONFIGS)
def test_run_on_a_gpu(config, tmp_path):
    """In bfloat16, with masks from other processes; scores and fine-tuning too."""
    cfg, data = plan.load(config), images(40).to(torch.device('cuda'))
    found = pretraining.pretrain(
        cfg, data.images, 4, 8, 1e-3, 0, tmp_path, workers=2, say=lambda text: None
    )
    assert all(math.isfinite(loss) for _, losses in found['curve'] for loss in losses.values())
    model = scores.Classifier(config.rpartition('_')[2], found['backbone'], 0).cuda()
    assert all(0 <= score <= 100 for score in scores.frozen(model, data, data).values())
    tuned = scores.finetune(model, data, 1.0, 1, 0, 0.75, say=lambda text: None)
    assert math.isfinite(tuned['curve'][-1][1])


@pytest.mark.parametrize('config', [*CONFIGS, *CHANGED_MFM])
def test_run(config, tmp_path):
    """A few steps; the encoder goes into mmpretrain's own, whose features are those trained."""
    cfg = plan.load(config)
    run = Run(config, 1, 1e-3, 0)
    found = pretraining.pretrain(
        cfg, images(40).images, 4, 8, run.lr, run.seed, tmp_path, say=lambda text: None
    )
    assert [seen for seen, _ in found['curve']] == [8, 16, 24, 32]
    classifier = scores.Classifier(run.encoder, found['backbone'], 0).eval()
    featmap = dict(out_type='featmap') if run.encoder == 'vit' else {}
    backbone = MODELS.build(dict(cfg.model.backbone, **featmap))
    backbone.load_state_dict(found['backbone'])
    backbone.eval()  # mmpretrain's return None here
    inputs = torch.randn(2, 3, 32, 32)
    arguments = dict(mask=None) if 'mask' in backbone.forward.__code__.co_varnames else {}
    with torch.no_grad():
        own, plain = backbone(inputs, **arguments)[-1], classifier.backbone(inputs)[-1]
    torch.testing.assert_close(own, plain)


def test_encoders_are_those_of_the_configs():
    base = Config.fromfile(plan.CONFIGS / 'study/_base_.py')
    for name, encoder in scores.ENCODERS.items():
        assert {key: encoder.get(key) for key in base[name]} == base[name].to_dict()
        model = scores.Classifier(name, None, 0)
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_same_crops_for_every_method(tmp_path, monkeypatch):
    seen = {}
    for config in ('study/wamim_vit', 'study/simmim_swin'):
        taken = []

        def keep(model, inputs, masks, taken=taken):
            taken.append(inputs)
            return dict(loss=next(model.parameters()).sum())

        monkeypatch.setattr(pretraining, 'losses_of', keep)
        cfg = plan.load(config)
        pretraining.pretrain(cfg, images(20).images, 5, 8, 1e-3, 3, tmp_path, say=lambda text: None)
        seen[config] = torch.stack(taken)
    assert torch.equal(*seen.values())
    assert len(seen['study/wamim_vit'].flatten(1).unique(dim=0)) == 5


@pytest.mark.parametrize('config', ['study/wamim_swin', 'study/mae_vit', 'study/maskfeat_vit'])
def test_a_cut_run_goes_on_exactly(config, tmp_path, monkeypatch):
    cfg, data = plan.load(config), images(40).images

    def run(folder):
        return pretraining.pretrain(cfg, data, 8, 8, 1e-3, 1, folder, say=lambda text: None)

    whole = run(tmp_path / 'whole')
    monkeypatch.setattr(pretraining, 'SAVE_EVERY', 0)
    losses_of, calls = pretraining.losses_of, []

    def cut(*arguments):
        calls.append(0)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return losses_of(*arguments)

    monkeypatch.setattr(pretraining, 'losses_of', cut)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / 'cut')
    rest = run(tmp_path / 'cut')
    assert len(calls) == 6 + 3
    assert rest['curve'] == whole['curve']
    for name, tensor in whole['backbone'].items():
        assert torch.equal(tensor, rest['backbone'][name]), name


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    loss = torch.tensor(float('nan'), requires_grad=True)
    monkeypatch.setattr(pretraining, 'losses_of', lambda *_: dict(loss=loss * 1))
    with pytest.raises(FloatingPointError, match="'loss': nan} after 1 steps"):
        cfg = plan.load('study/wamim_vit')
        pretraining.pretrain(cfg, images(8).images, 2, 8, 1e-3, 0, tmp_path, say=lambda text: None)


def test_schedule():
    factors = [pretraining.learning_rate(step, 100) for step in range(100)]
    assert factors[9] == factors[10] == 1 and factors[0] == 0.1
    assert factors[55] == pytest.approx(0.5) and 0 < factors[99] < 1e-3
    assert pretraining.learning_rate(0, 1) == 1


def test_images_held_out_are_in_no_share():
    train = images(50)
    train = train._replace(labels=torch.arange(50))
    for seed in (0, 1):
        out = scores.held_out(train, seed).labels.tolist()
        share = train[scores.mixed(train, seed)[:45]].labels.tolist()
        assert len(out) == 5 and sorted(out + share) == list(range(50))
    assert scores.held_out(train, 0).labels.tolist() != scores.held_out(train, 1).labels.tolist()


def test_finetuning_learns_and_takes_the_same_images():
    data = images(100)
    for label in range(10):  # a class is a brightness
        data.images[data.labels == label] = 25 * label + data.images[data.labels == label] // 25
    drawn = []
    for share in (0.5, 0.5):
        model = scores.Classifier('vit', None, 0)
        found = scores.finetune(model, data, share, 8, 4, 1.0, say=lambda text: None)
        drawn.append(found['curve'])
    assert drawn[0] == drawn[1]
    assert drawn[0][-1][1] < 0.95 * drawn[0][0][1]
    assert scores.accuracy(model, data) > 25


def test_layers_learn_at_their_own_rate(monkeypatch):
    built = {}
    build = scores.build_optim_wrapper

    def keep(model, cfg):
        built['wrapper'] = build(model, cfg)
        return built['wrapper']

    monkeypatch.setattr(scores, 'build_optim_wrapper', keep)
    model = scores.Classifier('vit', None, 0)
    scores.finetune(model, images(64), 1.0, 1, 0, 0.5, say=lambda text: None)
    rates = {group['lr'] for group in built['wrapper'].optimizer.param_groups}
    ratios = sorted(max(rates) / rate for rate in rates)
    assert ratios == pytest.approx([2.0**n for n in range(8)])


def test_weights_of_another_encoder_are_refused():
    weights = scores.Classifier('swin', None, 0).backbone.state_dict()
    with pytest.raises(ValueError, match='the pre-trained encoder lacks'):
        scores.Classifier('vit', weights, 0)


def record(task, validation, status='done'):
    run = task.run if isinstance(task, Finetuning) else task
    return dict(
        key=task.key,
        status=status,
        kind=task.kind,
        config=run.config,
        epochs=run.epochs,
        lr=run.lr,
        seed=run.seed,
        encoder=run.encoder,
        config_hash=plan.config_hash(run.config),
        scores=dict(validation=validation),
    )


def tuned(budget, *configs):
    return {
        task.key: record(task, 40 + 5 * (lr == budget.lrs[1]))
        for config in configs
        for lr, task in zip(budget.lrs, plan.tuning(config, budget), strict=False)
    }


def test_the_learning_rate_is_the_best_of_all_tried():
    config = 'study/wamim_vit'
    tried = tuned(TINY, config)
    assert plan.chosen_lr(config, TINY, tried) == 2e-3
    first, second = (run.key for run in plan.tuning(config, TINY))
    failed = dict(status='failed', error='FloatingPointError: losses')
    assert plan.chosen_lr(config, TINY, tried | {second: failed}) == 1e-3
    assert plan.chosen_lr(config, TINY, {first: failed, second: failed}) is None
    assert plan.chosen_lr(config, TINY, {first: tried[first]}) is None


def test_what_differs_in_one_thing_has_the_same_rate():
    tried = tuned(TINY, 'study/wamim_vit')
    for config, other in plan.SAME_RATE.items():
        assert {config, other} <= {*CONFIGS} and plan.tuning(config, TINY) == []
        expected = 2e-3 if other == 'study/wamim_vit' else None
        assert plan.chosen_lr(config, TINY, tried) == expected


def test_the_rate_falls_to_zero_in_every_layer(monkeypatch):
    """By a cosine after a warm-up, as `pretraining.schedule` has it."""
    rates, build = [], scores.build_optim_wrapper

    def keep(model, cfg):
        wrapper = build(model, cfg)
        update = wrapper.update_params

        def noted(loss):
            rates.append(max(group['lr'] for group in wrapper.optimizer.param_groups))
            update(loss)

        wrapper.update_params = noted
        return wrapper

    monkeypatch.setattr(scores, 'build_optim_wrapper', keep)
    scores.finetune(
        scores.Classifier('vit', None, 0), images(320), 1.0, 2, 0, 1.0, say=lambda text: None
    )
    peak, steps = max(rates), len(rates)
    assert steps == 20 and peak == pytest.approx(1e-3, rel=0.1)
    assert rates[0] < peak and rates[-1] < 0.05 * peak
    assert rates[rates.index(peak) :] == sorted(rates[rates.index(peak) :], reverse=True)


def test_choices_see_no_test_image(study, monkeypatch):
    """Validation is of training images; and an encoder at random has no layer decay."""
    seen, decays = [], []

    def measured(model, images):
        seen.append(images.images)
        return 50.0

    def tuned(model, train, share, epochs, seed, layer_decay, say):
        decays.append(layer_decay)
        return dict(curve=[])

    monkeypatch.setattr(command, 'accuracy', measured)
    monkeypatch.setattr(command, 'finetune', tuned)
    own = study()
    monkeypatch.setattr(own, 'encoder', lambda run: (None, {}))
    run = Run('study/wamim_vit', 0.5, 1e-3, 0)
    own.do(Finetuning(run, 0.1, 1, validates=True))
    (held,) = seen
    assert torch.equal(held, scores.held_out(own.data['train'], 0).images)
    seen.clear()
    own.do(Finetuning(Run('random_vit', 0, 0.0, 0), 0.1, 1))
    assert [torch.equal(a, own.data[b].images) for a, b in zip(seen, FINETUNED, strict=True)]
    assert decays == [plan.LAYER_DECAY, 1.0]


def test_few_images():
    """As many steps as with all, and as many lengths but for the longest."""
    budget = BUDGETS['cpu']
    assert list(plan.small(budget, {})) == []
    tasks = list(plan.small(budget, tuned(budget, 'study/wamim_vit')))
    runs = [task for task in tasks if isinstance(task, Run)]
    seen = [run.images * run.epochs for run in runs]
    assert seen == 2 * [25_000, 50_000, 100_000, 200_000]
    assert runs[0].key == 'study/wamim_vit/first1000/25ep/lr0.001/seed0'
    assert {task.run for task in tasks if isinstance(task, Finetuning)} == {*runs}


def test_a_run_of_few_images_sees_those_alone(study, monkeypatch):
    run, trained = Run('study/wamim_vit', 3, 1e-3, 0, images=16), []

    def keep(cfg, images, steps, *arguments, **options):
        trained.append((images, steps))
        raise KeyboardInterrupt

    monkeypatch.setattr(command, 'pretrain', keep)
    own = study()
    with pytest.raises(KeyboardInterrupt):
        own.encoder(run)
    ((images, steps),) = trained
    assert steps == 6 and torch.equal(images, own.data['train'].images[:16])


def test_plan():
    """Tuning alone until rates are there; then every length, seed and score."""
    for budget in BUDGETS.values():
        first = list(plan.headline(budget, {}))
        assert {run.epochs for run in first if isinstance(run, Run)} == {0}
        tuned_by = {(t.run.epochs, t.validates) for t in first if isinstance(t, Finetuning)}
        assert tuned_by == {(0, False), (budget.epochs[0], True)}
        tasks = list(plan.headline(budget, tuned(budget, *CONFIGS)))
        runs = {(t.config, t.epochs, t.seed) for t in tasks if isinstance(t, Run)}
        for encoder, configs in HEADLINE.items():
            for config in configs:
                assert {(config, e, s) for e in budget.epochs for s in (0, 1, 2)} <= runs
            for config in ONE_SEED[encoder]:
                assert {(config, e, 0) for e in budget.epochs} <= runs
        fine = {
            (t.run.config, t.run.epochs, t.run.seed, t.share)
            for t in tasks
            if isinstance(t, Finetuning) and not t.validates
        }
        assert {(*run, 0.1) for run in runs} <= fine
        for share in (1.0, 0.01):
            assert ('study/mae_vit', budget.epochs[-1], 2, share) in fine
            assert ('random_swin', 0, 2, share) in fine
        order = [task.epochs for task in tasks if isinstance(task, Run)]
        assert order.index(budget.epochs[2]) < order.index(budget.epochs[3])


def test_transfer_waits_for_its_encoder():
    budget = BUDGETS['cpu']
    first = list(plan.transfer(budget, {}))
    assert {(stage.task, stage.source) for stage in first} == {
        *(('pretraining', 'wamim'), ('pretraining', 'mae')),
        *(('upernet', 'scratch'), ('mask-rcnn', 'scratch')),
    }
    failed = {stage.key: dict(status='failed') for stage in first}
    assert list(plan.transfer(budget, failed)) == first
    stages = list(plan.transfer(budget, {stage.key: dict(status='done') for stage in first}))
    assert len(stages) == len({stage.key for stage in stages}) == 3 * (2 + 2 * 3)
    for stage in stages:
        assert plan.config_hash(stage.config) is not None


def test_transfer_reads_what_a_run_logged(tmp_path, monkeypatch):
    commands = []
    lines = dict(
        pretraining=[dict(step=20, loss=1.2), dict(step=40, loss=1.1)],
        upernet=[dict(step=2, loss=2.5), {'mIoU': 12.345, 'step': 2}],
        **{'mask-rcnn': [{'coco/bbox_mAP': 0.0512, 'coco/segm_mAP': 0.04, 'step': 2}]},
    )

    def call(arguments, log, threads):
        commands.append(arguments)
        if 'tools/train.py' not in arguments:
            return
        folder = Path(arguments[arguments.index('--work-dir') + 1])
        (folder / '2026' / 'vis_data').mkdir(parents=True)
        text = '\n'.join(map(json.dumps, lines[folder.parts[-3]]))
        (folder / '2026' / 'vis_data' / 'scalars.json').write_text(text)
        (folder / 'last_checkpoint').write_text('epoch_16.pth\n')
        torch.save(dict(meta=dict(iter=1)), folder / 'epoch_16.pth')

    monkeypatch.setattr(transfer, 'call', call)
    with pytest.raises(FileNotFoundError, match='its pre-training comes first'):
        transfer.train(Stage('upernet', 'mae', 1), tmp_path, 1)
    found = transfer.train(Stage('pretraining', 'mae', 1), tmp_path, 1)
    assert found == dict(scores={}, curve=[[20, 1.2], [40, 1.1]])
    assert transfer.train(Stage('upernet', 'mae', 1), tmp_path, 1)['scores'] == dict(mIoU=12.35)
    checkpoint = tmp_path / 'transfer/pretraining/mae/seed1/epoch_16.pth'
    assert f'model.backbone.init_cfg.checkpoint={checkpoint}' in commands[-1]
    assert 'randomness.seed=1' in commands[-1]
    found = transfer.train(Stage('mask-rcnn', 'scratch', 1), tmp_path, 1)
    assert found['scores'] == {'box AP': 5.12, 'mask AP': 4.0}
    assert 'model.backbone.init_cfg=None' in commands[-1]


def test_scenes_are_trained_and_probed(tmp_path, monkeypatch):
    commands = []

    def call(arguments, log, threads):
        commands.append(arguments)
        if 'tools/train.py' in arguments:
            folder = Path(arguments[arguments.index('--work-dir') + 1])
            (folder / '2026' / 'vis_data').mkdir(parents=True)
            lines = '{"step": 20, "loss": 1.2}\n'
            (folder / '2026' / 'vis_data' / 'scalars.json').write_text(lines)
            (folder / 'last_checkpoint').write_text('epoch_8.pth\n')
            torch.save(dict(meta=dict(iter=1)), folder / 'epoch_8.pth')
        if 'probe' in arguments:
            out = Path(arguments[arguments.index('--out') + 1])
            out.write_text('{"pretrained": 0.41234, "random": 0.25, "chance": 0.1}')

    monkeypatch.setattr(transfer, 'call', call)
    runs = list(plan.scenes(BUDGETS['cpu'], {}))
    assert len(runs) == len({run.key for run in runs}) == len(plan.SCENE_RUNS) * 3
    assert {run.name for run in runs} == {
        file.stem for file in (plan.CONFIGS / 'study' / 'scenes').glob('*.py')
    }
    assert len({plan.config_hash(run.config) for run in runs}) == len(plan.SCENE_RUNS)
    found = transfer.train_and_probe(runs[-1], tmp_path, 1)
    assert found == dict(scores=dict(pretrained=41.23, random=25.0), curve=[[20, 1.2]])
    drawing, training, probing = commands
    assert drawing[-1] == '6000' and 'randomness.seed=2' in training
    assert training[1].endswith(f'configs/study/scenes/{runs[-1].name}.py')
    assert str(tmp_path / runs[-1].key / 'epoch_8.pth') in probing


def test_a_run_that_fails_says_why(tmp_path):
    code = ['-c', 'import sys; sys.exit("no luck")']
    with pytest.raises(RuntimeError, match='no luck'):
        transfer.call(code, tmp_path / 'logs' / 'a.log', None)


def test_records(tmp_path):
    path = tmp_path / 'a' / 'r.jsonl'
    assert records.read(path) == {}
    records.append(path, dict(key='a', value=1))
    path.write_bytes(path.read_bytes() + b'{"key": "b", "val')  # the machine went down
    records.append(path, dict(key='a', value=2))
    assert records.read(path) == {'a': dict(key='a', value=2)}


def test_a_folder_has_one_owner(tmp_path):
    code = (
        'from pathlib import Path; from benchmarks.study.records import locked\n'
        f'with locked(Path({str(tmp_path)!r})) as own: print(own)'
    )

    def other():
        return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout

    with records.locked(tmp_path) as own:
        assert own and other() == 'False\n'
    assert other() == 'True\n'


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of one method and tiny data, which plans no more than it can do in seconds."""
    monkeypatch.setattr(plan, 'HEADLINE', {'vit': ('study/wamim_vit',)})
    monkeypatch.setattr(plan, 'ONE_SEED', {})
    monkeypatch.setattr(plan, 'SEEDS', (0,))
    monkeypatch.setattr(plan, 'RANDOM', {'vit': 'random_vit'})
    monkeypatch.setattr(plan, 'FINETUNING', {0.01: 1, 0.1: 1, 1.0: 1})
    quick = partial(scores.fit_linear_probe, penalties=(1.0,))
    monkeypatch.setattr(scores, 'fit_linear_probe', quick)
    data = dict(train=images(64), test=images(32, seed=1), corrupted=images(16, seed=2))

    def new():
        return command.Study(TINY, data, tmp_path / 'results.jsonl', tmp_path / 'work')

    return new


def test_the_command_goes_on_where_it_stopped(study, tmp_path, monkeypatch):
    started = []
    do = command.Study.do

    def counted(self, task):
        started.append(task.key)
        if len(started) == 4:
            raise KeyboardInterrupt
        if len(started) == 6:
            raise RuntimeError('out of luck')
        return do(self, task)

    monkeypatch.setattr(command.Study, 'do', counted)
    with pytest.raises(KeyboardInterrupt):
        study().run('headline')
    cut = started[3]
    assert records.read(tmp_path / 'results.jsonl')[cut]['status'] == 'cut'
    assert study().run('headline') == 1
    failed = [r for r in records.read(tmp_path / 'results.jsonl').values() if r['status'] != 'done']
    assert [r['error'] for r in failed] == ['RuntimeError: out of luck']
    assert study().run('headline') == 0
    found = records.read(tmp_path / 'results.jsonl')
    assert {r['status'] for r in found.values()} == {'done'}
    tried = records.current(tmp_path / 'results.jsonl')
    assert set(found) == {task.key for task in plan.headline(TINY, tried)}
    assert len(started) == len(found) + 2  # the cut one and the failed one, twice

    before = len(started)
    assert study().run('headline') == 0 and len(started) == before
    for entry in found.values():
        assert {'commit', 'config_hash', 'seed', 'machine', 'versions', 'curve'} <= entry.keys()
        assert '/' not in json.dumps([entry['machine'], entry['versions']])
        assert all(0 <= score <= 100 for score in entry['scores'].values())


def test_a_changed_config_is_another_run(tmp_path, monkeypatch):
    path = tmp_path / 'results.jsonl'
    runs = [Run('study/wamim_vit', 1, 1e-3, 0), Run('random_vit', 0, 0.0, 0)]
    for run in runs:
        records.append(path, record(run, 50.0))
    assert records.current(path).keys() == {run.key for run in runs}
    records.append(path, dict(record(runs[0], 0.0), status='cut'))
    assert records.current(path).keys() == {runs[1].key}
    records.append(path, record(runs[0], 50.0))
    hashes = plan.config_hash
    monkeypatch.setattr(records, 'config_hash', lambda c: hashes(c) and f'{hashes(c)}x')
    assert records.current(path).keys() == {runs[1].key}


@pytest.mark.parametrize(
    ('change', 'groups', 'sizes'),
    [({}, 8, {1}), (dict(per='batch'), 1, {1}), (dict(block=2), 8, {2})],
)
def test_masks_of_a_step(change, groups, sizes):
    """A mask for each sample, one for all, or units of several patches; always the same number."""
    cfg = plan.load('study/wamim_vit')
    cfg.masks = change
    model = pretraining.build(cfg, 0, torch.device('cpu'))
    masks = pretraining.StepMasks(cfg, model, 8, 0)
    mask, layout = masks[3]
    assert torch.equal(mask, masks[3].mask) and not torch.equal(mask, masks[4].mask)
    assert mask.shape == (8, 8, 8) and (mask.flatten(1).sum(1) == 48).all()
    assert len(mask.flatten(1).unique(dim=0)) == groups
    (size,) = sizes
    blocks = mask[:, ::size, ::size].repeat_interleave(size, 1).repeat_interleave(size, 2)
    assert torch.equal(mask, blocks) and layout.shape == (8, 16)


def test_arguments(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('os.getloadavg', lambda: (1.2, 1.0, 1.0))
    for arguments, message in (
        (['--part', 'headline', '--data', 'nowhere'], 'no CIFAR-10 at nowhere'),
        (['--part', 'sleep'], 'invalid choice'),
        (['--part', 'headline', '--budget', 'gpu'], 'this machine has --budget cpu'),
        (['--part', 'cost'], 'wants the machine for itself, whose load is 1.2'),
    ):
        if 'gpu' in arguments and torch.cuda.is_available():
            continue
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        assert ended.value.code == 2 and message in capsys.readouterr().err
