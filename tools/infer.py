"""Draw what a checkpoint predicts for images.

python tools/infer.py --help
"""

from wamim_mm.cli.infer import main

if __name__ == '__main__':
    main()
