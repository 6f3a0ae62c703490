"""Linear probe of a pre-trained encoder.

python tools/linear_probe.py --help
"""

from wamim_mm.cli.linear_probe import main

if __name__ == '__main__':
    main()
