"""Write the figures of docs/reliability.md from docs/results/faults_*.json.

python -m tests.faults.page
"""

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / 'docs/reliability.md'
RESULTS = ROOT / 'docs/results'
START, END = '<!-- figures -->\n', '<!-- end -->\n'


def kill(found: dict[str, Any]) -> str:
    writing = sum(run['writing'] for run in found['runs'])
    return (
        f'{found["survived"]} of {found["kills"]} kills survived in {len(found["runs"])} runs, '
        f'{writing} of them while a checkpoint was written'
    )


def disk(found: dict[str, Any]) -> str:
    held = sum(found['found'].values())
    return f'{held} of {len(found["found"])} conditions hold'


def numbers(found: dict[str, Any]) -> str:
    runs = found['runs']
    skipped = sum(run['skipped'] for run in runs)
    return (
        f'{len(runs)} runs of {runs[0]["steps"]:,} steps, {len(found["failed"])} not finite, '
        f'{skipped} steps skipped by the scaler'
    )


def length(found: dict[str, Any]) -> str:
    parts = {name: late / early - 1 for name, (early, late) in found['early_and_late'].items()}
    return (
        f'{found["iterations"]:,} iterations: memory {parts["all"]:+.1%} (main process '
        f'{parts["own"]:+.1%}), open files {parts["files"]:+.1%}, processor time of a step '
        f'{parts["step"]:+.1%}'
    )


def images(found: dict[str, Any]) -> str:
    kinds, loads = found['kinds'], found['damaged']
    fates = ', '.join(f'{count} {fate}' for fate, count in kinds.items())
    return (
        f'{sum(kinds.values())} kinds of files ({fates}); {loads["files"]:,} damaged files; the '
        f'bomb takes {found["bomb_megabytes"]:g} MB; {found["wrong"]} of {found["cases"]} cases '
        'are wrong'
    )


def ranks(found: dict[str, Any]) -> str:
    return f'{found["cases"] - found["failed"]} of {found["cases"]} cases pass'


def machines(found: dict[str, Any]) -> str:
    return f'{ranks(found)}, with two hosts in network namespaces'


def checkpoints(found: dict[str, Any]) -> str:
    total: Counter[str] = Counter()
    for counts in found['outcomes'].values():
        total.update(counts)
    total['other numbers'] = total.pop('other numbers')  # last
    fates = ', '.join(f'{count:,} {fate}' for fate, count in total.items())
    return (
        f'{found["files"]:,} damaged checkpoints: {fates} (all of these in the legacy format and '
        f'in safetensors, which have no checksums); {found["broken"]} otherwise'
    )


def ops(found: dict[str, Any]) -> str:
    return (
        f'{found["properties"]} properties, {found["examples"]:,} examples of each; '
        f'{found["broken"]} do not hold'
    )


def saving(found: dict[str, Any]) -> str:
    parts = []
    for name, part in found.items():
        if name != 'environment':
            ours, theirs = (statistics.median(part['seconds'][who]) for who in ('ours', 'mmengine'))
            parts.append(
                f'{name}, {part["bytes"] / 1e6:,.0f} MB: training waits {ours:.2f} s, with '
                f"MMEngine's own hook {theirs:.2f} s"
            )
    return '; '.join(parts)


FAULTS = (kill, disk, ranks, machines, images, numbers, checkpoints, ops, length)


def table() -> str:
    """The table, with the command of each line."""
    lines = ['| command | result |', '| --- | --- |']
    for row in FAULTS:
        name = row.__name__
        file = RESULTS / f'faults_{name}.json'
        if not file.is_file():
            lines.append(f'| `python -m tests.faults.{name}` | not run yet |')
            continue
        found = json.loads(file.read_text())
        lines.append(f'| `python -m tests.faults.{name}` | {row(found)} |')
    found = json.loads((RESULTS / 'bench_saving.json').read_text())
    lines.append(f'| `python -m benchmarks.saving` | {saving(found)} |')
    machine = found['environment']['machine']
    versions = found['environment']['versions']
    lines.append(
        f'\n{machine["cores"]} cores of {machine["cpu"]}, no GPU; Python {versions["python"]}, '
        f'torch {versions["torch"]}, onedl-mmengine {versions["onedl-mmengine"]}.'
    )
    return '\n'.join(lines) + '\n'


def page() -> str:
    """The whole page with the present figures."""
    before, rest = PAGE.read_text().split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == '__main__':
    PAGE.write_text(page())
    print(f'wrote {PAGE.relative_to(ROOT)}')
