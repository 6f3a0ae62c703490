"""Which runs make up the study, in the order in which they are done; why: docs/study.md."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
SEEDS = (0, 1, 2)
# Methods that get all seeds, and those that get one, of each encoder.
HEADLINE = {
    'vit': ('study/wamim_vit', 'study/mae_vit'),
    'swin': ('study/wamim_swin', 'study/simmim_swin'),
}
ONE_SEED = {
    'vit': (
        *('study/wamim-subband_vit', 'study/pixels_vit', 'study/pixels-subband_vit'),
        *('study/mae-light_vit', 'study/wamim-one-level_vit'),
        *('study/maskfeat_vit', 'study/mfm_vit'),
    ),
    'swin': ('study/wamim-subband_swin', 'study/pixels_swin', 'study/mfm_swin'),
}
# What could bring the headline's ratio down, for the length at which MAE has caught up.
LONG_EPOCHS = 4
LONG_ABLATIONS = {
    'vit': (
        'ablation/cifar10/levels_2-3_vit',
        'ablation/cifar10/decoder_dim-32_vit',
        'ablation/cifar10/decoder_dim-128_vit',
        'ablation/cifar10/combined_levels_2-3_decoder_dim-128_vit',
    ),
    'swin': ('ablation/cifar10/ratio_50_swin',),
}
# What did better than WaMIM with the first seed, with all of them: lengths.
REPEATED = {
    'vit': {'ablation/cifar10/decoder_dim-32_vit': (2, LONG_EPOCHS)},
    'swin': {
        'study/wamim-subband_swin': (1, 2),
        'ablation/cifar10/ratio_50_swin': (1, 2),
    },
}
# What is another method but for one thing, and takes its learning rate.
SAME_RATE = {
    **dict.fromkeys(
        ('study/wamim-subband_vit', 'study/pixels_vit', 'study/pixels-subband_vit'),
        'study/wamim_vit',
    ),
    'study/wamim-one-level_vit': 'study/wamim_vit',
    'study/mae-light_vit': 'study/mae_vit',
    **dict.fromkeys(('study/wamim-subband_swin', 'study/pixels_swin'), 'study/wamim_swin'),
}
# MFM as published, for whose lengths there is a part of its own.
PUBLISHED_MFM = ('study/mfm_vit', 'study/mfm_resnet')
# The one change with which MFM's ViT learned in an epoch, for longer.
LEARNING_MFM = 'study/mfm/init-mae_vit'
RANDOM = {'vit': 'random_vit', 'swin': 'random_swin', 'resnet': 'random_resnet'}
# Of transfer: what pre-trains the encoder, and what it is used for.
SOURCES = ('wamim', 'mae')
TRANSFER_TASKS = ('upernet', 'mask-rcnn')
ABLATION_EPOCHS = 1
# Of the second data set: the configs of configs/study/scenes without their ending.
SCENE_RUNS = ('wamim_vit', 'norm_subband_vit', 'wavelet_db2_vit', 'ratio_60_vit')
# Of small data: how many images there are.
FEW_IMAGES = (1000, 10_000)
ALL_IMAGES = 50_000
LAYER_DECAY = 0.75
# Epochs of fine-tuning on a share of the labels.
FINETUNING = {0.01: 30, 0.1: 5, 1.0: 2}


@dataclass(frozen=True)
class Budget:
    """What is affordable on a kind of machine.

    Attributes:
        name: As on the command line.
        device: Where to train.
        batch: Images of a pre-training step.
        epochs: Lengths of pre-training, passes over CIFAR-10's 50,000 images.
        lrs: Learning rates to choose from, by the shortest pre-training.
        workers: Processes that make masks.
    """

    name: str
    device: str
    batch: int
    epochs: tuple[float, ...]
    lrs: tuple[float, ...]
    workers: int


BUDGETS = {
    'cpu': Budget('cpu', 'cpu', 64, (0.5, 1, 2, 4, 8), (5e-4, 1e-3, 2e-3), workers=0),
    'gpu': Budget('gpu', 'cuda', 512, (3, 6, 12, 25, 50), (1e-3, 2e-3, 4e-3), workers=8),
}


@dataclass(frozen=True)
class Run:
    """A pre-training with the scores of its frozen encoder.

    Attributes:
        config: Path under configs/ without its ending, or a name of `RANDOM`.
        epochs: Passes over the images; 0 for an encoder at random.
        lr: Learning rate.
        seed: Of everything.
        images: It has the first so many training images; None for all.
    """

    config: str
    epochs: float
    lr: float
    seed: int
    images: int | None = None

    kind = 'pretraining'

    @property
    def key(self) -> str:
        """What names the run in the records, and its folder."""
        few = f'first{self.images}/' if self.images else ''
        return f'{self.config}/{few}{self.epochs:g}ep/lr{self.lr:g}/seed{self.seed}'

    @property
    def lock(self) -> str:
        """The folder that a process has for itself while it is at the task."""
        return self.key

    @property
    def encoder(self) -> str:
        """A name of `RANDOM`: how the config's ends."""
        return self.config.rpartition('_')[2]

    @property
    def facts(self) -> dict:
        """What the record says of it."""
        few = dict(images=self.images) if self.images else {}
        return dict(epochs=self.epochs, lr=self.lr, seed=self.seed, **few)


@dataclass(frozen=True)
class Finetuning:
    """A fine-tuning of a run's encoder.

    Attributes:
        run: Where the encoder comes from.
        share: Of the labels.
        epochs: Passes over that share.
        validates: Whether it is scored on other training images, for a choice, and not on the test
            images.
    """

    run: Run
    share: float
    epochs: int
    validates: bool = False

    @property
    def kind(self) -> str:
        """What the record says it is."""
        return 'validation' if self.validates else 'finetuning'

    @property
    def key(self) -> str:
        """What names it in the records."""
        return f'{self.run.key}/{self.kind}/{self.share:g}/{self.epochs}ep'

    @property
    def lock(self) -> str:
        """That of its run, whose encoder it may have to pre-train."""
        return self.run.key

    @property
    def config(self) -> str:
        """Its run's."""
        return self.run.config

    @property
    def encoder(self) -> str:
        """Its run's."""
        return self.run.encoder

    @property
    def facts(self) -> dict:
        """What the record says of it."""
        return dict(self.run.facts, share=self.share, finetuning_epochs=self.epochs)


@dataclass(frozen=True)
class Stage:
    """A training run on the built-in scenes, by ``tools/train.py``.

    Attributes:
        task: One of `TRANSFER_TASKS`, or ``'pretraining'``.
        source: Where the encoder comes from: one of `SOURCES`, or ``'scratch'``.
        seed: Of everything.
    """

    task: str
    source: str
    seed: int

    kind = 'transfer'
    encoder = 'vit'

    @property
    def key(self) -> str:
        """What names it in the records, and its folder."""
        return f'transfer/{self.task}/{self.source}/seed{self.seed}'

    @property
    def lock(self) -> str:
        """The folder that a process has for itself while it is at the task."""
        return self.key

    @property
    def config(self) -> str:
        """Path under configs/ without its ending."""
        name = self.source if self.task == 'pretraining' else self.task
        return f'study/transfer/{name}_vit'

    @property
    def facts(self) -> dict:
        """What the record says of it."""
        return dict(task=self.task, source=self.source, seed=self.seed)


@dataclass(frozen=True)
class SceneRun:
    """A pre-training on the built-in scenes by ``tools/train.py``, with a linear probe.

    Attributes:
        name: One of `SCENE_RUNS`.
        seed: Of everything.
    """

    name: str
    seed: int

    kind = 'scenes'
    encoder = 'vit'

    @property
    def key(self) -> str:
        """What names it in the records, and its folder."""
        return f'scenes/{self.name}/seed{self.seed}'

    @property
    def lock(self) -> str:
        """The folder that a process has for itself while it is at the task."""
        return self.key

    @property
    def config(self) -> str:
        """Path under configs/ without its ending."""
        return f'study/scenes/{self.name}'

    @property
    def facts(self) -> dict:
        """What the record says of it."""
        return dict(seed=self.seed)


Task = Run | Finetuning | Stage | SceneRun


def load(config: str) -> Config:
    """A config of the study."""
    return Config.fromfile(CONFIGS / f'{config}.py')


@cache
def config_hash(config: str) -> str | None:
    """Twelve digits that change with whatever a run takes from its config.

    None for an encoder at random, which has no config, and for a config that is gone.
    """
    if not (CONFIGS / f'{config}.py').is_file():
        return None
    cfg = load(config)
    taken = [cfg.model, cfg.optim_wrapper, cfg.train_dataloader.dataset.pipeline]
    taken += [cfg.masks] if 'masks' in cfg else []
    taken += [cfg.train_cfg] if config.startswith(('study/transfer/', 'study/scenes/')) else []
    text = json.dumps(taken, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def configs_by_hash() -> dict[str, str]:
    """The methods' and ablations' configs by their hashes; of equal ones the method's."""
    files = [*CONFIGS.glob('ablation/cifar10/*.py'), *CONFIGS.glob('study/**/*_*.py')]
    names = [str(file.relative_to(CONFIGS).with_suffix('')) for file in files]
    return {str(config_hash(name)): name for name in names if '_base_' not in name}


def rated_as(config: str) -> str:
    """The method whose learning rate a config takes: its own where it is tuned."""
    variants = {
        variant: own
        for encoder, (own, *_) in HEADLINE.items()
        for variant in LONG_ABLATIONS[encoder]
    }
    return (SAME_RATE | variants).get(config, config)


def tuning(config: str, budget: Budget) -> list[Task]:
    """What chooses a learning rate: the shortest pre-training, fine-tuned with a tenth of labels.

    The part of MFM asks what a probe sees, of a ResNet too, which is chosen by the probe. Nothing
    is tried for what takes another method's rate.
    """
    if rated_as(config) != config:
        return []
    found = [Run(config, budget.epochs[0], lr, SEEDS[0]) for lr in budget.lrs]
    if config.endswith('_resnet'):
        return [*found]
    return [Finetuning(run, 0.1, FINETUNING[0.1], validates=True) for run in found]


def chosen_lr(config: str, budget: Budget, tried: dict[str, dict]) -> float | None:
    """The learning rate with the best validation accuracy.

    One whose run failed, as losses do that are not finite, counts as the worst.

    Returns:
        None until all were tried, and where all failed.
    """
    config = rated_as(config)
    found = [tried.get(task.key) for task in tuning(config, budget)]
    if None in found:
        return None
    scores = [record.get('scores', {}).get('validation', 0.0) for record in found]
    return budget.lrs[scores.index(max(scores))] if any(scores) else None


def headline(budget: Budget, tried: dict[str, dict]) -> Iterator[Task]:
    """Accuracy against cost. The order is that of a study that may be cut at any point.

    Like every part, it is planned anew after each task, from the records of what was done or
    failed.

    Short runs come before long ones, and the methods with all seeds before those with one.
    """
    for encoder in HEADLINE:
        yield from (Run(RANDOM[encoder], 0, 0.0, seed) for seed in SEEDS)
    short = len(budget.epochs) // 2 + 1
    for lengths in (budget.epochs[:short], budget.epochs[short:]):
        for group, seeds in ((HEADLINE, SEEDS), (ONE_SEED, SEEDS[:1])):
            for encoder, configs in group.items():
                yield from compared(encoder, configs, lengths, seeds, budget, tried)
    for share, lengths in ((1.0, budget.epochs[-1:]), (0.01, budget.epochs[-2:])):
        for encoder, configs in HEADLINE.items():
            for seed in SEEDS:
                yield Finetuning(Run(RANDOM[encoder], 0, 0.0, seed), share, FINETUNING[share])
                for epochs in lengths:
                    for run in runs(configs, epochs, seed, budget, tried):
                        yield Finetuning(run, share, FINETUNING[share])


def compared(
    encoder: str,
    configs: Iterable[str],
    lengths: Iterable[float],
    seeds: Iterable[int],
    budget: Budget,
    tried: dict[str, dict],
) -> Iterator[Task]:
    """The runs of some methods: tuning, pre-training of every length, fine-tuning.

    Fine-tuning takes longer than short pre-training does with its frozen scores, and so comes last.
    """
    for config in configs:
        yield from tuning(config, budget)
    for epochs in lengths:
        for seed in seeds:
            yield from runs(configs, epochs, seed, budget, tried)
    for epochs in lengths:
        for seed in seeds:
            started = [
                Run(RANDOM[encoder], 0, 0.0, seed),
                *runs(configs, epochs, seed, budget, tried),
            ]
            yield from (Finetuning(run, 0.1, FINETUNING[0.1]) for run in started)


def runs(
    configs: Iterable[str], epochs: float, seed: int, budget: Budget, tried: dict[str, dict]
) -> list[Run]:
    """A run of every method whose learning rate is chosen."""
    rates = {config: chosen_lr(config, budget, tried) for config in configs}
    return [Run(config, epochs, lr, seed) for config, lr in rates.items() if lr is not None]


def ablations(budget: Budget, tried: dict[str, dict]) -> Iterator[Task]:
    """One thing changed at a time, with the learning rate of what it is changed from.

    The learning rate itself is among the things, since it was chosen for the shortest runs.
    """
    for config in (configs[0] for configs in HEADLINE.values()):
        if chosen_lr(config, budget, tried) is not None:
            yield from (Run(config, ABLATION_EPOCHS, lr, SEEDS[0]) for lr in budget.lrs)
    for path in sorted((CONFIGS / 'ablation' / 'cifar10').glob('*.py')):
        config = f'ablation/cifar10/{path.stem}'
        encoder = config.rpartition('_')[2]
        rate = chosen_lr(f'study/wamim_{encoder}', budget, tried)
        if rate is not None:
            yield Run(config, ABLATION_EPOCHS, rate, SEEDS[0])
    for encoder, (own, *_) in HEADLINE.items():
        rate = chosen_lr(own, budget, tried)
        for config in (own, *LONG_ABLATIONS[encoder]) if rate is not None else ():
            run = Run(config, LONG_EPOCHS, rate, SEEDS[0])
            yield run
            for validates in (True, False):
                yield Finetuning(run, 0.1, FINETUNING[0.1], validates)
    for encoder, repeated in REPEATED.items():
        for config, lengths in repeated.items():
            yield from compared(encoder, [config], lengths, SEEDS, budget, tried)


def small(budget: Budget, tried: dict[str, dict]) -> Iterator[Task]:
    """How many epochs pay where there are few images: as many steps as with all of them."""
    config = HEADLINE['vit'][0]
    for run in runs([config], 0, SEEDS[0], budget, tried):
        for images in FEW_IMAGES:
            for epochs in budget.epochs[:-1]:
                few = Run(config, epochs * ALL_IMAGES / images, run.lr, run.seed, images)
                yield few
                yield Finetuning(few, 0.1, FINETUNING[0.1])


def mfm(budget: Budget, tried: dict[str, dict]) -> Iterator[Task]:
    """What MFM needs in order to beat an encoder at random: one change at a time, then length."""
    for config in PUBLISHED_MFM:
        yield from (Run(RANDOM[config.rpartition('_')[2]], 0, 0.0, seed) for seed in SEEDS)
        yield from tuning(config, budget)
    rate = chosen_lr(PUBLISHED_MFM[0], budget, tried)
    for path in sorted((CONFIGS / 'study' / 'mfm').glob('*.py')):
        if rate is not None:
            yield Run(f'study/mfm/{path.stem}', ABLATION_EPOCHS, rate, SEEDS[0])
    if rate is not None:
        yield Run(LEARNING_MFM, LONG_EPOCHS, rate, SEEDS[0])
    for epochs in budget.epochs:
        yield from runs(PUBLISHED_MFM, epochs, SEEDS[0], budget, tried)


def scenes(budget: Budget, tried: dict[str, dict]) -> Iterator[Task]:
    """The changes that matter most, on a second data set, seed by seed."""
    yield from (SceneRun(name, seed) for seed in SEEDS for name in SCENE_RUNS)


def transfer(budget: Budget, tried: dict[str, dict]) -> Iterator[Task]:
    """Detection and segmentation, seed by seed; a task waits for its encoder."""
    for seed in SEEDS:
        first = {source: Stage('pretraining', source, seed) for source in SOURCES}
        yield from first.values()
        for task in TRANSFER_TASKS:
            yield Stage(task, 'scratch', seed)
            for source, pretraining in first.items():
                if tried.get(pretraining.key, {}).get('status') == 'done':
                    yield Stage(task, source, seed)


PARTS = {
    'headline': headline,
    'ablations': ablations,
    'mfm': mfm,
    'small': small,
    'scenes': scenes,
    'transfer': transfer,
}
