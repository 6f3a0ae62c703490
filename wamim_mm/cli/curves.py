"""Draw the loss curves of a run, part by part, and write them as JSON, with its scores.

python tools/curves.py WORK_DIR --out docs/results/NAME

writes NAME.png and NAME.json; the latter holds the logged losses, what validation said, and how
long an iteration took.
"""

from __future__ import annotations

import html
import importlib.metadata
import io
import json
import platform
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..interop.cores import usable_cores
from .errors import CommandParser, command
from .settings import check_new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')


@command
def main() -> None:
    """Draw the curves, write both files and print a summary."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--out', type=Path, required=True, help='path of both files, no suffix')
    args = parser.parse_args()
    steps = training_steps(args.work_dir)
    png, summed = args.out.with_suffix('.png'), args.out.with_suffix('.json')
    for path in (png, summed):
        check_new_file(path, '--out')
    parts = sorted(key for key in steps[0] if key.startswith('loss_'))
    png.write_bytes(curves(steps, parts))
    kept = ('step', 'loss', *parts)
    summary = {
        'steps': [{key: entry[key] for key in kept} for entry in steps],
        'scores': validations(args.work_dir),
        'seconds_per_iteration': sum(entry['time'] for entry in steps) / len(steps),
        'machine': machine(),
        'versions': versions(),
    }
    summed.write_text(json.dumps(summary, indent=1))
    print(
        f'{steps[-1]["step"]} iterations, {summary["seconds_per_iteration"]:.2f} s each; loss '
        f'{steps[0]["loss"]:.3f} to {steps[-1]["loss"]:.3f}'
    )


def training_steps(work_dir: Path) -> list[dict]:
    """`scalars` of a run that has logged a step; raises FileNotFoundError where none has."""
    steps = scalars(work_dir)
    if steps:
        return steps
    if any(work_dir.glob('*/*.log')):
        raise FileNotFoundError(
            f'the run in {str(work_dir)!r} has not logged a training step yet; wait for one, or '
            'look into its log file'
        )
    raise FileNotFoundError(
        f'no logged training step under {str(work_dir)!r}; give the work dir of a run'
    )


def scalars(work_dir: Path) -> list[dict]:
    """The logged training steps of a run, the resumed ones after the first ones."""
    steps = {entry['step']: entry for entry in logged(work_dir) if 'loss' in entry}
    return [steps[step] for step in sorted(steps)]


def validations(work_dir: Path) -> list[dict]:
    """What the validations of a run said, in order."""
    return [entry for entry in logged(work_dir) if 'loss' not in entry]


def logged(work_dir: Path) -> list[dict]:
    """All entries of a run's logs, the resumed ones after the first ones.

    Lines that a full disk has cut, or that are being written, are left out, and counted on stderr.
    """
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    found, cut = [], 0
    for file in files:
        for line in file.read_text(errors='replace').splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                cut += 1
    if cut:
        print(f'{cut:,} cut lines in the logs of {work_dir}, left out', file=sys.stderr)
    return found


def curves(steps: list[dict], parts: list[str]) -> bytes:
    """The curves of the loss's parts as a PNG; of the loss itself where it has none."""
    figure, axis = pyplot().subplots(figsize=(8, 3.2), layout='constrained')
    for key in parts or ['loss']:
        axis.plot([s['step'] for s in steps], [s[key] for s in steps], label=key.replace('_', ' '))
    axis.set_xlabel('iteration')
    axis.set_ylabel('weighted loss' if parts else 'loss')
    axis.grid(alpha=0.3)
    axis.legend()
    return as_png(figure)


def pyplot() -> ModuleType:
    """matplotlib's, which draws into files and needs no screen."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot


def as_png(figure: Figure) -> bytes:
    """The picture's bytes; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    pyplot().close(figure)
    return buffer.getvalue()


def as_svg(figure: Figure, title: str) -> str:
    """The picture as an element of a page, in the page's own text colour; the figure is closed."""
    buffer = io.StringIO()
    with pyplot().rc_context({'svg.fonttype': 'none', 'svg.hashsalt': title}):
        figure.savefig(buffer, format='svg', transparent=True)
    pyplot().close(figure)
    svg = buffer.getvalue()
    svg = svg[svg.index('<svg') :]
    # Lines and letters that matplotlib draws in black.
    svg = svg.replace('#000000', 'currentColor')
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    label = html.escape(title)
    return svg.replace('<svg ', f'<svg role="img" aria-label="{label}" fill="currentColor" ', 1)


def versions() -> dict[str, str]:
    """The distributions that results depend on, and their versions."""
    owners = importlib.metadata.packages_distributions()
    return {
        f'{owners[name][0]}': importlib.metadata.version(owners[name][0])
        for name in PACKAGES
        if name in owners
    }


def machine() -> str:
    """Where results come from."""
    return f'{usable_cores()} cores, {platform.machine()}, Python {platform.python_version()}'


if __name__ == '__main__':
    main()
