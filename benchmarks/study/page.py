"""Draw the study's charts and write its tables into docs/study.md, from the records alone.

python -m benchmarks.study.page
"""

import statistics
from collections import Counter
from pathlib import Path

from wamim_mm.cli.curves import as_png, pyplot

from . import records
from .found import CHARTED, ENCODERS, SCORES, Found, methods, name
from .plan import ABLATION_EPOCHS, BUDGETS, HEADLINE, LONG_ABLATIONS, LONG_EPOCHS, RANDOM
from .tables import (
    ablation_rows,
    accuracies,
    costs,
    few_images,
    final,
    mfm_rows,
    missing,
    probed_scenes,
    ratios,
    transferred,
    tuned,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/study.md'
IMAGES = ROOT / 'docs/images'
START, END = '<!-- outcome -->\n', '<!-- end -->\n'


def chart(found: Found, encoder: str) -> bytes | None:
    """Accuracy against cost, a panel for each charted score that was measured; None for none.

    Variants of WaMIM are charted where they were fine-tuned after several lengths.
    """
    variants = [c for c in LONG_ABLATIONS[encoder] if len(found.curve(c, 'finetuned')) > 1]
    charted = [*methods(encoder), *variants]
    curves = {
        score: {c: curve for c in charted if (curve := found.curve(c, score))} for score in CHARTED
    }
    measured = {score: found_curves for score, found_curves in curves.items() if found_curves}
    if not measured:
        return None
    size = (5.5 * len(measured), 4)
    figure, axes = pyplot().subplots(1, len(measured), figsize=size, layout='constrained')
    panels = axes if len(measured) > 1 else [axes]
    for axis, (score, by_method) in zip(panels, measured.items(), strict=True):
        for config, curve in by_method.items():
            means = [statistics.mean(scores) for _, scores in curve]
            pairs = list(zip(means, (scores for _, scores in curve), strict=True))
            first = config in HEADLINE[encoder]
            axis.errorbar(
                [cost for cost, _ in curve],
                means,
                yerr=[[m - min(s) for m, s in pairs], [max(s) - m for m, s in pairs]],
                label=name(config),
                color=f'C{charted.index(config)}',
                linewidth=2 if first else 1,
                linestyle='-' if first else '--',
                marker='o',
                markersize=4,
                capsize=2,
            )
        at_random = found.scores(RANDOM[encoder], 0, score)
        if at_random:
            axis.axhline(statistics.mean(at_random), color='grey', linestyle=':', label='at random')
        axis.set_xscale('log', base=2)
        axis.xaxis.set_major_formatter('{x:g}')
        axis.set_xlabel('cost of pre-training (minutes of the machine)')
        axis.set_ylabel(f'{SCORES[score]} (% correct)')
        axis.set_title(ENCODERS[encoder])
        axis.grid(alpha=0.3)
    panels[-1].legend(fontsize=8)
    return as_png(figure)


def outcome(found: Found) -> str:
    """The page's part between the marks."""
    parts = []
    for encoder, title in ENCODERS.items():
        file = IMAGES / f'study_{found.budget.name}_{encoder}.png'
        if file.is_file():
            parts.append(
                f'![{title}: accuracy against cost](images/{file.name})\n\n'
                'Points are means, bars reach from the lowest seed to the highest; the dotted line '
                'is the encoder at random.\n'
            )
    parts += [
        '### Headline\n',
        f'WaMIM reaches the final accuracy of another method at\n\n{ratios(found)}',
        f'### Cost of a step\n\n{costs(found)}',
        '### Learning rates\n',
        f'Validation accuracy after the shortest pre-training.\n\n{tuned(found)}',
    ]
    for encoder, title in ENCODERS.items():
        parts += [
            f'### Accuracy, {title}\n',
            'Percent correct: mean, standard deviation and number of seeds. Minutes are those of '
            f'the whole machine.\n\n{accuracies(found, encoder)}',
            f'Fine-tuned on all and on 1 % of the labels:\n\n{final(found, encoder)}',
        ]
    parts += [
        '### Ablations\n',
        f'Epochs: {ABLATION_EPOCHS}, one seed; in brackets the difference to WaMIM.\n\n'
        + ablation_rows(found, ABLATION_EPOCHS),
        f'Epochs: {LONG_EPOCHS}, one seed.\n\n{ablation_rows(found, LONG_EPOCHS)}',
        f'### MFM\n\n{mfm_rows(found)}',
        f'### Few images\n\n{few_images(found)}',
        '### A second data set\n',
        'The small ViT on 4,800 built-in scenes of 128 x 128: mean, standard deviation and number '
        'of seeds.\n\n'
        f'{probed_scenes(found)}',
        '### Transfer\n',
        'Small ViTs on the built-in scenes: mean, standard deviation and number of seeds.\n\n'
        f'{transferred(found)}',
        f'### Not run, failed or cut\n\n{missing(found)}',
    ]
    machines = Counter(
        f'{record["machine"]["cores"]} cores of {record["machine"]["cpu"]}'
        + ''.join(f', {gpu}' for gpu in record['machine']['gpus'])
        + f'; Python {record["versions"]["python"]}, torch {record["versions"]["torch"]}, '
        f'onedl-mmpretrain {record["versions"].get("onedl-mmpretrain", "none")}'
        for record in found.done.values()
    )
    parts.append(''.join(f'{text}: {count} records.\n' for text, count in machines.items()))
    return '\n'.join(parts)


def page(results: Path = ROOT / records.RESULTS) -> str:
    """The whole page with the present records."""
    before, rest = PAGE.read_text().split(START)
    return before + START + outcome(Found(BUDGETS['cpu'], results)) + END + rest.split(END)[1]


def main() -> None:
    found = Found(BUDGETS['cpu'], ROOT / records.RESULTS)
    for encoder in ENCODERS:
        png = chart(found, encoder)
        if png is not None:
            (IMAGES / f'study_{found.budget.name}_{encoder}.png').write_bytes(png)
    PAGE.write_text(page())
    print(f'wrote {PAGE.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
