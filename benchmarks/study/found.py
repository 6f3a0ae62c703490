"""What the study's records say, by method and length."""

from pathlib import Path

from . import records
from .cost import key as cost_key
from .plan import ALL_IMAGES, HEADLINE, ONE_SEED, Budget, chosen_lr

ENCODERS = {'vit': 'ViT', 'swin': 'Swin'}
# Score in the records: how tables and charts call it.
SCORES = {
    'finetuned': 'fine-tuned, 10 %',
    'corrupted': 'the same, corrupted images',
    'probe_all': 'probe, all features',
    'probe_last': 'probe, last',
    'knn': 'k-NN',
}
CHARTED = ('finetuned', 'probe_all')
CONTENDER = {'vit': 'study/wamim_vit', 'swin': 'study/wamim_swin'}


class Found:
    """The records of a budget, with the questions that tables and charts ask."""

    def __init__(self, budget: Budget, results: Path) -> None:
        self.budget = budget
        self.all = records.read(results / f'{budget.name}.jsonl')
        self.tried = records.current(results / f'{budget.name}.jsonl')
        self.done = {key: r for key, r in self.tried.items() if r['status'] == 'done'}

    def scores(
        self, config: str, epochs: float, score: str, share: float = 0.1, images: int | None = None
    ) -> list[float]:
        """A score of every seed of a method at its chosen learning rate, on so many images."""
        return list(self.seeds(config, epochs, score, share, images).values())

    def seeds(
        self, config: str, epochs: float, score: str, share: float = 0.1, images: int | None = None
    ) -> dict[int, float]:
        """The same by seed."""
        rate = 0.0 if epochs == 0 else chosen_lr(config, self.budget, self.tried)
        # Pre-training has a score of that name too, of its probe.
        kinds = ('validation',) if score == 'validation' else ('pretraining', 'finetuning')
        return {
            record['seed']: record['scores'][score]
            for record in self.done.values()
            if record['kind'] in kinds
            and (record['config'], record['epochs'], record['lr']) == (config, epochs, rate)
            and record.get('images') == images
            and score in record['scores']
            and record.get('share', share) == share
        }

    def cost(self, config: str, epochs: float) -> float | None:
        """Minutes of the whole machine that a pre-training takes."""
        record = self.done.get(cost_key(config))
        if record is None:
            return None
        steps = round(epochs * (ALL_IMAGES // self.budget.batch))
        return steps * record['seconds_per_step'] / 60

    def curve(self, config: str, score: str) -> list[tuple[float, list[float]]]:
        """Cost and scores of every length that was run."""
        points = [
            (self.cost(config, epochs), self.scores(config, epochs, score))
            for epochs in self.budget.epochs
        ]
        return [(cost, scores) for cost, scores in points if cost and scores]


def name(config: str) -> str:
    """A method as the page calls it: ``WaMIM`` for ``study/wamim_vit``."""
    method = config.rpartition('/')[2].rpartition('_')[0]
    shown = {'wamim': 'WaMIM', 'mae': 'MAE', 'simmim': 'SimMIM', 'mfm': 'MFM'}
    shown |= {'maskfeat': 'MaskFeat', 'mae-light': 'MAE-light', 'random': 'none (at random)'}
    shown |= {'wamim-one-level': 'WaMIM, one level', 'wamim-subband': 'WaMIM, norm by subband'}
    return shown.get(method, method)


def methods(encoder: str) -> list[str]:
    return [*HEADLINE[encoder], *ONE_SEED[encoder]]
