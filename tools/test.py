"""Evaluate a checkpoint: top-1, COCO AP or mIoU, as the config's evaluator says.

python tools/test.py --help
"""

from wamim_mm.cli.test import main

if __name__ == '__main__':
    main()
