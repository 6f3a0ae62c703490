"""The properties of tests/ops/test_properties.py on many arguments, other ones in every run.

python -m tests.faults.ops --examples N --out FILE

Where one does not hold, the smallest arguments that show it are printed.
"""

import argparse
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from hypothesis import is_hypothesis_test, settings

from benchmarks.measure import environment, write

from ..ops import test_properties


def properties() -> dict[str, Callable[[], None]]:
    """Name -> a property, to be called."""
    return {name: test for name, test in vars(test_properties).items() if is_hypothesis_test(test)}


def holds(test: Callable[[], None], examples: int) -> bool:
    """Whether a property holds on so many new examples; the arguments are printed if not."""
    longer = settings(
        max_examples=examples, derandomize=False, deadline=None, database=None, print_blob=True
    )
    try:
        longer(test)()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exception(error, limit=-2)
        return False
    return True


def main() -> None:
    """Try all properties and count those that do not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--examples', type=int, default=5000, help='of each property')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    broken = []
    for name, test in properties().items():
        fine = holds(test, args.examples)
        print(f'{name}: {"holds" if fine else "does not hold"}', flush=True)
        broken += [] if fine else [name]
    if args.out:
        counts = dict(properties=len(properties()), examples=args.examples, broken=len(broken))
        write(dict(environment=environment('tests.faults.ops'), **counts), args.out)
    sys.exit(len(broken) > 0)


if __name__ == '__main__':
    main()
