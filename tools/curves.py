"""Draw the loss curves of a run, and write them as JSON.

python tools/curves.py --help
"""

from wamim_mm.cli.curves import main

if __name__ == '__main__':
    main()
