"""Write the backbone of a checkpoint for another library.

python tools/export_backbone.py --help
"""

from wamim_mm.cli.export_backbone import main

if __name__ == '__main__':
    main()
