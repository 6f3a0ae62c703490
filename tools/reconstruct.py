"""Draw what a pre-trained model sees of images and makes of them.

python tools/reconstruct.py --help
"""

from wamim_mm.cli.reconstruct import main

if __name__ == '__main__':
    main()
