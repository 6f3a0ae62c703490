"""Top-1 of a classifier on corrupted and out-of-distribution images.

python tools/robustness.py --help
"""

from wamim_mm.cli.robustness import main

if __name__ == '__main__':
    main()
