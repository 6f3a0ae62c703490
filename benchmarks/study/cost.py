"""What a training step costs: contenders in turns on an idle machine, and operations beside it."""

import statistics

from mmengine.registry import init_default_scope

from benchmarks.pretrain import compare
from benchmarks.training import Settings, default_dtype

from . import controls  # noqa: F401  (registers what configs name)
from .plan import HEADLINE, LONG_ABLATIONS, ONE_SEED, Budget, config_hash, load

STEPS = {'cpu': 10, 'cuda': 50}


def key(config: str) -> str:
    """What names a cost in the records."""
    return f'cost/{config}'


def measure(encoder: str, budget: Budget, rounds: int = 9) -> list[dict]:
    """Records of the cost of every method of an encoder, measured in one run.

    Each has ``seconds`` of a step in every round (all cores, from a batch on the device to the
    optimizer's step), ``seconds_per_step``, their median, and ``flops_per_image``.
    """
    init_default_scope('mmpretrain')
    names = HEADLINE[encoder] + ONE_SEED[encoder] + LONG_ABLATIONS[encoder]
    configs = {name: load(name) for name in names}
    settings = Settings(
        batch=budget.batch,
        device=budget.device,
        dtype=default_dtype(budget.device),
        steps=STEPS[budget.device],
        img_size=32,
    )
    results = compare(configs, settings, rounds)
    return [
        dict(
            key=key(name),
            kind='cost',
            status='failed' if 'error' in result else 'done',
            config=name,
            config_hash=config_hash(name),
            batch=budget.batch,
            dtype=settings.dtype,
            **{
                k: result[k]
                for k in ('seconds', 'flops_per_image', 'parameters', 'error')
                if k in result
            },
            **(
                {}
                if 'error' in result
                else dict(seconds_per_step=statistics.median(result['seconds']))
            ),
        )
        for name, result in results.items()
    ]
