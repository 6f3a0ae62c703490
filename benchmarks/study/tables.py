"""The study's tables in Markdown."""

import math
import statistics
from collections import Counter
from pathlib import Path

from .cost import key as cost_key
from .found import CHARTED, CONTENDER, ENCODERS, SCORES, Found, methods, name
from .plan import (
    ALL_IMAGES,
    FEW_IMAGES,
    FINETUNING,
    HEADLINE,
    LONG_ABLATIONS,
    LONG_EPOCHS,
    PARTS,
    PUBLISHED_MFM,
    RANDOM,
    REPEATED,
    SAME_RATE,
    SCENE_RUNS,
    SEEDS,
    SOURCES,
    TRANSFER_TASKS,
    Finetuning,
    SceneRun,
    Stage,
    Task,
    chosen_lr,
    tuning,
)

# Of the choice of a change, in which test images have no part.
VALIDATION = {'validation': 'fine-tuned, validation images'}
FROZEN = ('probe_all', 'probe_last', 'knn')  # what runs have without fine-tuning


def mean(scores: list[float]) -> str:
    """``52.3 ± 0.4 (3)``: mean, standard deviation and number of seeds."""
    if not scores:
        return '-'
    if len(scores) == 1:
        return f'{scores[0]:.1f}'
    return f'{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f} ({len(scores)})'


def length(epochs: float) -> str:
    return f'{epochs:g} epoch{"s" * (epochs != 1)}'


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines) + '\n'


def costs(found: Found) -> str:
    """The time of a step, and what it is of WaMIM's."""
    parts = []
    for encoder, title in ENCODERS.items():
        own = found.done.get(cost_key(CONTENDER[encoder]))
        rows = []
        for config in (*methods(encoder), *LONG_ABLATIONS[encoder]):
            record = found.done.get(cost_key(config))
            if record and own:
                paired = [a / b for a, b in zip(record['seconds'], own['seconds'], strict=True)]
                rows.append(
                    [
                        f'{title}, {name(config)}',
                        f'{1000 * record["seconds_per_step"]:.0f}',
                        f'{statistics.median(paired):.2f} ({min(paired):.2f} to {max(paired):.2f})',
                        f'{record["flops_per_image"] / 1e9:.2f}',
                        f'{record["parameters"] / 1e6:.1f}',
                    ]
                )
        parts += rows
    if not parts:
        return 'Not measured yet.\n'
    heads = ['method', 'ms a step', "of WaMIM's", 'GFLOP an image', 'million parameters']
    return table(heads, parts)


def tuned(found: Found) -> str:
    """Validation accuracy of every learning rate."""
    rows = []
    for encoder, title in ENCODERS.items():
        for config in methods(encoder):
            if config in SAME_RATE:
                continue
            cells = []
            best = chosen_lr(config, found.budget, found.tried)
            tasks = tuning(config, found.budget)
            for lr, task in zip(found.budget.lrs, tasks, strict=True):
                record = found.done.get(task.key)
                text = f'{record["scores"]["validation"]:.1f}' if record else '-'
                cells.append(f'**{text}**' if lr == best else text)
            rows.append([f'{title}, {name(config)}', *cells])
    return table(['method', *(f'{lr:g}' for lr in found.budget.lrs)], rows)


def accuracies(found: Found, encoder: str) -> str:
    """Every score of every method and length."""
    rows = []
    for config in (RANDOM[encoder], *methods(encoder), *LONG_ABLATIONS[encoder]):
        for epochs in (0,) if config in RANDOM.values() else found.budget.epochs:
            cells = [mean(found.scores(config, epochs, score)) for score in SCORES]
            if set(cells) != {'-'}:
                cost = found.cost(config, epochs)
                minutes = '-' if cost is None else f'{cost:.1f}'
                rows.append([name(config), f'{epochs:g}', '0' if epochs == 0 else minutes, *cells])
    return table(['method', 'epochs', 'minutes', *SCORES.values()], rows)


def final(found: Found, encoder: str) -> str:
    """Fine-tuning on all and on 1 % of the labels, by length."""
    rows = []
    for config in (RANDOM[encoder], *HEADLINE[encoder]):
        for epochs in (0,) if config in RANDOM.values() else found.budget.epochs:
            scores = [found.scores(config, epochs, 'finetuned', share) for share in (1.0, 0.01)]
            if any(scores):
                rows.append([name(config), f'{epochs:g}', *map(mean, scores)])
    return table(['method', 'epochs', '100 %', '1 %'], rows) if rows else 'Not run yet.\n'


def reached(curve: list[tuple[float, list[float]]], goal: float) -> tuple[float, bool] | None:
    """The cost at which a curve of means reaches a score.

    Returns:
        The cost, interpolated on a logarithmic axis, and whether it is only an upper bound, as the
        cheapest run is above the score already; None where no run reaches it.
    """
    before = None
    for cost, scores in curve:
        score = statistics.mean(scores)
        if score >= goal:
            if before is None:
                return cost, True
            part = (goal - before[1]) / (score - before[1])
            return math.exp(math.log(before[0]) + part * math.log(cost / before[0])), False
        before = (cost, score)
    return None


def ratio(found: Found, encoder: str, rival: str, score: str, own: str | None = None) -> str:
    """At what share of a rival's cost WaMIM, or a variant of it, reaches its final score.

    That is of the longest run of both; for the lowest and the highest of its seeds as well.
    """
    own = own or CONTENDER[encoder]
    both = [
        epochs
        for epochs in found.budget.epochs
        if found.scores(rival, epochs, score) and found.scores(own, epochs, score)
    ]
    cost = found.cost(rival, both[-1]) if both else None
    ours = found.curve(own, score)
    if cost is None or not ours:
        return 'not measured yet'
    goals = found.scores(rival, both[-1], score)
    end = f'{statistics.mean(found.scores(own, both[-1], score)):.1f}'
    goal = statistics.mean(goals)

    def share(hit: tuple[float, bool] | None) -> str:
        return 'not reached' if hit is None else f'{"at most " * hit[1]}{hit[0] / cost:.2f}'

    if len(goals) == 1:
        seeds = 'one seed'
    else:
        lowest, highest = (share(reached(ours, pick(goals))) for pick in (min, max))
        span = lowest if lowest == highest else f'{lowest} to {highest}'
        seeds = f'its {len(goals)} seeds: {span}'
    hit = reached(ours, goal)
    shown = '' if hit is None else f'{hit[0]:.1f} of {cost:.1f} minutes; '
    return (
        f'**{share(hit)}** ({shown}{seeds}; in the end {end} against {goal:.1f} % after '
        f'{length(both[-1])})'
    )


def ratios(found: Found) -> str:
    rows = [
        [
            f'{title}: {name(rival)}',
            *(ratio(found, encoder, rival, score) for score in CHARTED),
        ]
        for encoder, title in ENCODERS.items()
        for rival in methods(encoder)
        if rival != CONTENDER[encoder]
    ]
    rows += [
        [
            f'{title}: {name(HEADLINE[encoder][1])}, by {name(own)}',
            *(ratio(found, encoder, HEADLINE[encoder][1], score, own) for score in CHARTED),
        ]
        for encoder, title in ENCODERS.items()
        for own in dict.fromkeys((*LONG_ABLATIONS[encoder], *REPEATED[encoder]))
    ]
    return table(['share of the cost of', *(SCORES[score] for score in CHARTED)], rows)


def ablation_rows(found: Found, epochs: float) -> str:
    """What a change does to the run of the same seed, beside the spread of the seeds."""
    rows = []
    shown = (*FROZEN, 'finetuned')
    shown += tuple(VALIDATION) if epochs == LONG_EPOCHS else ()
    for encoder, title in ENCODERS.items():
        own = CONTENDER[encoder]
        base = {score: found.seeds(own, epochs, score) for score in shown}
        if SEEDS[0] not in base['probe_all']:
            continue
        rows.append([f'{title}, WaMIM', *(mean(list(seeds.values())) for seeds in base.values())])
        chosen = chosen_lr(own, found.budget, found.tried)
        for key, record in found.done.items():
            ours = record.get('encoder') == encoder and record.get('epochs') == epochs
            change = changed(record, own, chosen) if ours else None
            if change is None:
                continue
            scores = {score: record['scores'][score] for score in FROZEN}
            for kind in ('finetuning', 'validation'):
                tuned = found.done.get(f'{key}/{kind}/0.1/{FINETUNING[0.1]}ep', {})
                scores |= tuned.get('scores', {})
            cells = []
            for score in shown:
                cell = f'{scores[score]:.1f}' if score in scores else '-'
                if score in scores and SEEDS[0] in base[score]:
                    cell += f' ({scores[score] - base[score][SEEDS[0]]:+.1f})'
                cells.append(cell)
            rows.append([f'{title}, {change}', *cells])
    heads = ['what', *((SCORES | VALIDATION)[score] for score in shown)]
    return table(heads, rows) if len(rows) > 1 else 'Not run yet.\n'


def changed(record: dict, own: str, chosen: float | None) -> str | None:
    """What a run changes of WaMIM's: a config's part, the learning rate, or the normalization.

    None for a run that is no ablation.
    """
    if record['kind'] != 'pretraining' or record['seed'] or record.get('images'):
        return None
    if record['config'].startswith('ablation/'):
        return Path(record['config']).name.rpartition('_')[0]
    rate = f'learning rate {record["lr"]:g}'
    if record['config'] == own:
        return None if record['lr'] == chosen else rate
    if record['config'] == own.replace('wamim', 'wamim-subband'):
        return f'norm by subband, {rate}'
    return None


def few_images(found: Found) -> str:
    """Scores of WaMIM on few images, at the same cost for all."""
    config, lengths = CONTENDER['vit'], found.budget.epochs[:-1]
    if not any(record.get('images') for record in found.done.values()):
        return 'Not run yet.\n'
    rows = []
    for images in (*FEW_IMAGES, None):
        there = images or ALL_IMAGES
        for score in CHARTED:
            cells = [
                mean(found.scores(config, epochs * ALL_IMAGES / there, score, images=images))
                for epochs in lengths
            ]
            rows.append([f'{there:,}', SCORES[score], *cells])
    heads = ['images', 'score', *(f'{epochs * ALL_IMAGES:,.0f} seen' for epochs in lengths)]
    return table(heads, rows)


def mfm_rows(found: Found) -> str:
    """MFM as published for every length, and with one change, beside the encoder at random."""
    rows = []
    for config in PUBLISHED_MFM:
        at_random = RANDOM[config.rpartition('_')[2]]
        title = ENCODERS.get(config.rpartition('_')[2], 'ResNet')
        for epochs in (0, *found.budget.epochs):
            cells = [
                mean(found.scores(at_random if epochs == 0 else config, epochs, score))
                for score in FROZEN
            ]
            if set(cells) != {'-'}:
                label = 'at random' if epochs == 0 else length(epochs)
                rows.append([f'{title}, {label}', *cells])
    for record in found.done.values():
        if record['config'].startswith('study/mfm/'):
            cells = [f'{record["scores"][score]:.1f}' for score in FROZEN]
            change = Path(record['config']).name.rpartition('_')[0]
            rows.append([f'ViT, {length(record["epochs"])}, {change}', *cells])
    heads = ['what', *(SCORES[score] for score in FROZEN)]
    return table(heads, rows) if rows else 'Not run yet.\n'


def transferred(found: Found) -> str:
    """Detection and segmentation from every source."""
    metrics = {'mask-rcnn': ('box AP', 'mask AP'), 'upernet': ('mIoU',)}
    assert metrics.keys() == set(TRANSFER_TASKS)
    rows = []
    for source in ('scratch', *SOURCES):
        cells = [
            mean(
                [
                    record['scores'][metric]
                    for record in found.done.values()
                    if record['kind'] == 'transfer'
                    and (record['task'], record['source']) == (task, source)
                ]
            )
            for task, names in metrics.items()
            for metric in names
        ]
        if set(cells) != {'-'}:
            rows.append([name(f'{source}_vit'), *cells])
    heads = ['from', 'Mask R-CNN, box AP', 'mask AP', 'UperNet, mIoU']
    return table(heads, rows) if rows else 'Not run yet.\n'


def probed_scenes(found: Found) -> str:
    """The probe on the second data set, beside that of the encoder at random."""
    runs = [record for record in found.done.values() if record['kind'] == 'scenes']
    # The encoder at random is the same for all.
    rows = [['none (at random)', mean([runs[0]['scores']['random']])]] if runs else []
    for change in SCENE_RUNS:
        scores = [
            run['scores']['pretrained'] for run in runs if run['config'].endswith(f'/{change}')
        ]
        if scores:
            label = 'WaMIM' if change == 'wamim_vit' else change.removesuffix('_vit')
            rows.append([label, mean(scores)])
    return table(['what', 'probe, all features'], rows) if rows else 'Not run yet.\n'


def kind(task: Task) -> str:
    """What a task is, as the list of what was not run counts it."""
    if isinstance(task, Finetuning):
        return f'{"validation of" if task.validates else "fine-tuning on"} {task.share:.0%}'
    if isinstance(task, Stage):
        return f'{task.task} on scenes'
    if isinstance(task, SceneRun):
        return 'pre-training on scenes'
    few = f' of {task.images:,} images' if task.images else ''
    return f'pre-training for {length(task.epochs)}{few}'


def missing(found: Found) -> str:
    """What the plan holds and the records do not, and what failed or was cut."""
    lines = []
    for part, plan in PARTS.items():
        tasks = {task.key: task for task in plan(found.budget, found.tried)}
        left = [task for key, task in tasks.items() if key not in found.done]
        counts = Counter(map(kind, left))
        text = ', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'nothing'
        lines.append(
            f'- {part}: {len(tasks) - len(left)} of {len(tasks)} planned; not run: {text}.'
        )
    for key, record in found.all.items():
        if record['status'] != 'done':
            why = record.get('error', 'interrupted')
            lines.append(f'- {record["status"]}: `{key}` ({why})')
    lines.append('\nRuns of a method whose learning rate is not chosen yet are not in the plan.')
    return '\n'.join(lines) + '\n'
