"""Draw the loss curves of a run, part by part, and write them as JSON, with its scores.

python tools/curves.py WORK_DIR --out docs/results/NAME

writes NAME.png and NAME.json; the latter holds the logged losses, what validation said, and how
long an iteration took.
"""

import argparse
import json
import sys
from pathlib import Path

from ..demo.report import curves, machine, scalars, validations, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--out', type=Path, required=True, help='path of both files, no suffix')
    args = parser.parse_args()
    steps = scalars(args.work_dir)
    if not steps:
        sys.exit(f'curves.py: no logged training step under {str(args.work_dir)!r}')
    parts = sorted(key for key in steps[0] if key.startswith('loss_'))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix('.png').write_bytes(curves(steps, parts))
    kept = ('step', 'loss', *parts)
    summary = {
        'steps': [{key: entry[key] for key in kept} for entry in steps],
        'scores': validations(args.work_dir),
        'seconds_per_iteration': sum(entry['time'] for entry in steps) / len(steps),
        'machine': machine(),
        'versions': versions(),
    }
    args.out.with_suffix('.json').write_text(json.dumps(summary, indent=1))
    print(
        f'{steps[-1]["step"]} iterations, {summary["seconds_per_iteration"]:.2f} s each; loss '
        f'{steps[0]["loss"]:.3f} to {steps[-1]["loss"]:.3f}'
    )


if __name__ == '__main__':
    main()
