"""The command `wamim`, which pip installs, and ``python -m wamim_mm``: other commands by a word."""

import sys
from importlib import import_module

#: Word -> module that has the command, and what it does.
COMMANDS = {
    'pretrain': ('.cli.pretrain', 'pre-train an encoder on a folder of images, no labels'),
    'train': ('.cli.train', 'train any config: ours, or of mmpretrain, mmdet, mmsegmentation'),
    'test': ('.cli.test', 'evaluate a checkpoint: top-1, COCO AP, mIoU'),
    'shards': ('.cli.shards', 'write a folder of images into tar shards'),
    'embed': ('.cli.embed', 'give every image of a folder a vector'),
    'reconstruct': ('.cli.reconstruct', 'draw what a model sees of images and makes of them'),
    'features': ('.cli.features', "draw what an encoder's features tell apart"),
    'probe': ('.cli.linear_probe', 'linear probe, beside the same encoder at random'),
    'report': ('.cli.report', 'one page of a run: curves, pictures, what to do next'),
    'infer': ('.cli.infer', 'draw boxes and masks, label maps, classes'),
    'export': (
        '.cli.export_backbone',
        'write a backbone for mmpretrain, mmdet, mmseg, timm, transformers, onnx',
    ),
    'robustness': (
        '.cli.robustness',
        'score on ImageNet-C, -A, -R, -Sketch, or any corrupted data',
    ),
    'curves': ('.cli.curves', 'draw the loss curves of a run'),
    'demo': ('.demo.runner', 'everything on built-in data, with a report'),
}


def main() -> None:
    """Run the command that the first argument names, with the arguments after it.

    Raises:
        SystemExit: As the command ends; with 2 where there is no such command.
    """
    word = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if word in ('-h', '--help'):
        print(usage())
        return
    if word == '--version':
        from .version import __version__

        print(f'wamim_mm {__version__}')
        return
    if word not in COMMANDS:
        print(
            f'wamim: {word!r} is none of {", ".join(COMMANDS)}; see wamim --help', file=sys.stderr
        )
        sys.exit(2)
    # What the command calls itself in its help and in its messages.
    sys.argv[:2] = [f'wamim {word}']
    import_module(COMMANDS[word][0], __package__).main()


def usage() -> str:
    """What `wamim --help` prints."""
    lines = [f'  {word:<12} {text}' for word, (_, text) in COMMANDS.items()]
    return '\n'.join(
        ['usage: wamim COMMAND ...', '', *lines, '', 'wamim COMMAND --help says more.']
    )


if __name__ == '__main__':
    main()
