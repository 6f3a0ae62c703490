"""Draw what an encoder's features tell apart, and what it attends to.

python tools/features.py --help
"""

from wamim_mm.cli.features import main

if __name__ == '__main__':
    main()
