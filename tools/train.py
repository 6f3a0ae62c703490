"""Train with any config of this project, mmpretrain, mmdet or mmsegmentation.

python tools/train.py --help
"""

from wamim_mm.cli.train import main

if __name__ == '__main__':
    main()
