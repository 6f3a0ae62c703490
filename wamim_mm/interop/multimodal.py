"""mmpretrain's image-and-text models are written for transformers 4; with 5 they fail at import.

mmpretrain imports them wherever transformers is installed, so that `import mmpretrain.models`
itself fails there. Nothing of ours needs them.
"""

from importlib.metadata import PackageNotFoundError, version


def install() -> None:
    """Let mmpretrain import without its image-and-text models where transformers is too new.

    Their names stay registered; building one raises mmpretrain's own message.
    """
    try:
        major = int(version('transformers').split('.')[0])
    except PackageNotFoundError:
        return
    if major >= 5:
        from mmpretrain.utils import dependency

        dependency.WITH_MULTIMODAL = False
