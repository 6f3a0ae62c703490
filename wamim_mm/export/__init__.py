"""Hand a pre-trained backbone over to other libraries, in their names and layouts.

No tensor is lost without a message: a conversion renames all weights that it is given, timm and
transformers load the result strictly, and weights that a target has no place for are named.
"""

import os
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ['TARGETS', 'export_backbone']

#: Target -> the module with its conversion, a function ``to_<target>``.
TARGETS = {
    'mmpretrain': 'to_openmmlab',
    'mmdet': 'to_openmmlab',
    'mmseg': 'to_openmmlab',
    'timm': 'to_timm',
    'transformers': 'to_transformers',
    'onnx': 'to_onnx',
}


def export_backbone(checkpoint: str, out: Path, target: str) -> str:
    """Write the backbone of a checkpoint for another library.

    Args:
        checkpoint: A checkpoint that an MMEngine run has written.
        out: The file, or for transformers the folder, to write; it is there when it is whole. A
            file whose name ends in ``.safetensors`` is one.
        target: One of `TARGETS`.

    Returns:
        The lines that load it in the target library, and a last line that counts the tensors.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError, RuntimeError, pickle.UnpicklingError: The checkpoint cannot be read (see
            `interop.checkpoints`), or does not hold what its own config says.
        ValueError: It does not say what its backbone is, or the target cannot have that backbone;
            or a file is asked for where the target reads a folder.
        ImportError: timm, transformers or onnx is the target and not installed, or safetensors is
            not.
        OSError: It cannot be written; nothing of it is left.
        RuntimeError: The ONNX file would compute something else.
    """
    if out.exists():
        raise FileExistsError(f'{out} exists; remove it or choose another name')
    safe = out.suffix == '.safetensors'
    if safe and target == 'onnx':
        raise ValueError(f'{out}: --to onnx writes an ONNX file; give a name that ends in .onnx')
    if safe and target == 'transformers':
        raise ValueError(
            f'{out}: --to transformers writes a folder, whose weights are of safetensors anyway; '
            'give a name without a suffix'
        )
    # Not above: commands list the targets in their help.
    from .backbone import read_backbone

    backbone = read_backbone(checkpoint)
    conversion = getattr(import_module(f'.{TARGETS[target]}', __name__), f'to_{target}')
    handover = conversion(backbone)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}.') as folder:
        whole = Path(folder, out.name)
        try:
            handover.save(whole)
        except OSError as error:
            raise OSError(str(error).replace(str(whole), str(out))) from error
        _open_to_readers(whole)
        whole.replace(out)

    total, left = len(backbone.weights), len(handover.left_out)
    summary = f'wrote {out}: {total - left} of {total} backbone tensors for {target}'
    if left:
        summary += f'; {target} has no place for {", ".join(handover.left_out)}'
    if backbone.normalization is None:
        summary += '; its data_preprocessor makes no RGB images: normalize them as it does'
    elif backbone.in_channels == 4:  # in which order our loader and OpenCV give them
        summary += '; of its four channels the first and the third are exchanged (BGRA for RGBA)'
    if safe and target.startswith('mm'):
        summary += "; MMEngine reads it with custom_imports = dict(imports=['wamim_mm'])"
    load = 'safetensors.torch.load_file(' if safe else 'torch.load('
    usage = [
        line.replace('torch.load(', load).replace("'OUT'", repr(str(out)))
        for line in handover.usage
    ]
    return '\n'.join([*usage, summary])


def _open_to_readers(path: Path) -> None:
    """Give files the mode of any new file; safetensors keeps its own to their owner."""
    umask = os.umask(0)
    os.umask(umask)
    for file in (path, *path.rglob('*')):
        if file.is_file():
            file.chmod(0o666 & ~umask)
