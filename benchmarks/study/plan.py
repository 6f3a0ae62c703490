"""Which runs make up the study, in the order in which they are done; why: docs/study.md."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
SEEDS = (0, 1, 2)
# Methods that get all seeds, and those that get one, of each encoder.
HEADLINE = {
    'vit': ('study/wamim_vit', 'study/mae_vit', 'study/pixels_vit'),
    'swin': ('study/wamim_swin', 'study/simmim_swin'),
}
ONE_SEED = {
    'vit': (
        *('study/pixels-subband_vit', 'study/mae-light_vit', 'study/wamim-one-level_vit'),
        *('study/maskfeat_vit', 'study/mfm_vit'),
    ),
    'swin': ('study/pixels_swin', 'study/mfm_swin'),
}
RANDOM = {'vit': 'random_vit', 'swin': 'random_swin'}
TUNING_EPOCHS = 1
ABLATION_EPOCHS = 2
LAYER_DECAY = 0.75
# Epochs of fine-tuning on a share of the labels.
FINETUNING = {0.01: 60, 0.1: 10, 1.0: 3}


@dataclass(frozen=True)
class Budget:
    """What is affordable on a kind of machine.

    Attributes:
        name: As on the command line.
        device: Where to train.
        batch: Images of a pre-training step.
        epochs: Lengths of pre-training, passes over CIFAR-10's 50,000 images.
        lrs: Learning rates to choose from.
        workers: Processes that make masks.
    """

    name: str
    device: str
    batch: int
    epochs: tuple[int, ...]
    lrs: tuple[float, ...]
    workers: int


BUDGETS = {
    'cpu': Budget('cpu', 'cpu', 64, (1, 2, 4, 8), (5e-4, 1e-3, 2e-3), workers=0),
    'gpu': Budget('gpu', 'cuda', 512, (6, 12, 25, 50), (1e-3, 2e-3, 4e-3), workers=8),
}


@dataclass(frozen=True)
class Run:
    """A pre-training with the scores of its frozen encoder.

    Attributes:
        config: Path under configs/ without its ending, or a name of `RANDOM`.
        epochs: Passes over the images; 0 for an encoder at random.
        lr: Learning rate.
        seed: Of everything.
    """

    config: str
    epochs: int
    lr: float
    seed: int

    @property
    def key(self) -> str:
        """What names the run in the records, and its folder."""
        return f'{self.config}/{self.epochs}ep/lr{self.lr:g}/seed{self.seed}'

    @property
    def encoder(self) -> str:
        """``'vit'`` or ``'swin'``: how the config's name ends."""
        return self.config.rpartition('_')[2]


@dataclass(frozen=True)
class Finetuning:
    """A fine-tuning of a run's encoder.

    Attributes:
        run: Where the encoder comes from.
        share: Of the labels.
        epochs: Passes over that share.
    """

    run: Run
    share: float
    epochs: int

    @property
    def key(self) -> str:
        """What names it in the records."""
        return f'{self.run.key}/finetuning/{self.share:g}/{self.epochs}ep'


Task = Run | Finetuning


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
    text = json.dumps(taken, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def tuning(config: str, budget: Budget) -> list[Run]:
    """The runs that choose a learning rate; the best is the first run of the headline as well."""
    return [Run(config, TUNING_EPOCHS, lr, SEEDS[0]) for lr in budget.lrs]


def chosen_lr(config: str, budget: Budget, done: dict[str, dict]) -> float | None:
    """The learning rate with the best validation accuracy; None until all were tried.

    One whose run failed counts as the worst.
    """
    tried = [done.get(run.key) for run in tuning(config, budget)]
    if None in tried:
        return None
    scores = [record.get('scores', {}).get('validation', 0.0) for record in tried]
    return budget.lrs[scores.index(max(scores))]


def headline(budget: Budget, done: dict[str, dict]) -> Iterator[Task]:
    """Accuracy against cost: cheap runs first, so that a cut study is a smaller study."""
    yield from (Run(name, 0, 0.0, seed) for name in RANDOM.values() for seed in SEEDS)
    every = {encoder: HEADLINE[encoder] + ONE_SEED[encoder] for encoder in HEADLINE}
    for config in (*every['vit'], *every['swin']):
        yield from tuning(config, budget)
    rates = {c: chosen_lr(c, budget, done) for names in every.values() for c in names}
    for epochs in budget.epochs:
        for seed in SEEDS:
            runs = [
                Run(config, epochs, rates[config], seed)
                for encoder in every
                for config in (every if seed == SEEDS[0] else HEADLINE)[encoder]
                if rates[config] is not None
            ]
            yield from runs
            yield from (Finetuning(run, 0.1, FINETUNING[0.1]) for run in runs)
            if epochs == budget.epochs[0]:
                random = (Run(name, 0, 0.0, seed) for name in RANDOM.values())
                yield from (Finetuning(run, 0.1, FINETUNING[0.1]) for run in random)
    for share in (1.0, 0.01):
        for seed in SEEDS:
            for config in [c for e in every for c in (*HEADLINE[e], RANDOM[e])]:
                rate = 0.0 if config in RANDOM.values() else rates[config]
                epochs = 0 if config in RANDOM.values() else budget.epochs[-1]
                if rate is not None:
                    yield Finetuning(Run(config, epochs, rate, seed), share, FINETUNING[share])


def ablations(budget: Budget, done: dict[str, dict]) -> Iterator[Task]:
    """One thing changed at a time, with the learning rate of what it is changed from."""
    for path in sorted((CONFIGS / 'ablation' / 'cifar10').glob('*.py')):
        config = f'ablation/cifar10/{path.stem}'
        encoder = config.rpartition('_')[2]
        rate = chosen_lr(f'study/wamim_{encoder}', budget, done)
        if rate is not None:
            yield Run(config, ABLATION_EPOCHS, rate, SEEDS[0])


PARTS = {'headline': headline, 'ablations': ablations}
