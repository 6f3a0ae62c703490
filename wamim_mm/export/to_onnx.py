"""For ONNX: the encoder of a pre-training, or a whole classifier."""

import json
from typing import Any

import numpy as np
import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..interop.untrusted import check_untrusted, registered_only
from .backbone import Backbone
from .conversion import Handover, library

_TOLERANCE = 1e-4


def to_onnx(backbone: Backbone) -> Handover:
    """The logits of a classifier's checkpoint, or the feature maps of the encoder in any other.

    Batches of any size go in. onnxruntime is compared with mmpretrain before anything is written.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        RuntimeError: Results differ by more than 1e-4.
    """
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        library(name, 'onnx')
    encoder = backbone.build('onnx')
    shape = (backbone.in_channels, *backbone.image_size(encoder))
    classifier = _classifier(backbone) if backbone.classifies else None
    if classifier is None:
        if getattr(encoder, 'out_type', None) == 'cls_token':  # which nothing has trained
            encoder.out_type = 'featmap'
        count = len(encoder.out_indices)
        names = [f'features_{i}' for i in range(count)] if count > 1 else ['features']
    else:
        names = ['logits']
    model = _Outputs(classifier or encoder).eval()
    with torch.no_grad():
        program: Any = torch.onnx.export(
            model,
            (torch.zeros(2, *shape),),
            input_names=['images'],
            output_names=names,
            dynamic_shapes=dict(images={0: torch.export.Dim('batch')}),
            external_data=False,
            verbose=False,
        )
        _compare(program, model, torch.randn(3, *shape))
    normalization = backbone.normalization
    about: dict[str, Any] = normalization._asdict() if normalization else {}
    if classifier is not None:
        about['classes'] = backbone.classes
    program.model.metadata_props.update({name: json.dumps(about[name]) for name in about})
    usage = [
        "session = onnxruntime.InferenceSession('OUT')",
        f'# session.run(None, dict(images=...)) takes normalized float32 (N, {shape[0]}, '
        f'{shape[1]}, {shape[2]}) and gives {", ".join(names)};',
        f'# session.get_modelmeta().custom_metadata_map has {", ".join(about) or "nothing"}',
    ]
    return Handover(program.save, usage, [])


class _Outputs(nn.Module):
    """A model whose results are a tuple of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.model(images)
        return (found,) if isinstance(found, Tensor) else tuple(found)


def _classifier(backbone: Backbone) -> ImageClassifier:
    """The whole model of a checkpoint that classifies.

    Raises:
        ValueError: Its config names what would run code of the checkpoint's author.
    """
    parts = {name: backbone.run['model'].get(name) for name in ('type', '_scope_', 'neck', 'head')}
    with registered_only():
        check_untrusted(parts)
        # The backbone is built already, as what it was found to be.
        own = dict(type=backbone.host, _scope_='mmpretrain', **backbone.args)
        model = MODELS.build(dict(parts, backbone=own))
    model.load_state_dict(backbone.model)
    return model


def _compare(program: Any, model: nn.Module, images: Tensor) -> None:
    """Run what was exported, on another number of images.

    Raises:
        RuntimeError: See `to_onnx`.
    """
    session = library('onnxruntime').InferenceSession(
        program.model_proto.SerializeToString(), providers=['CPUExecutionProvider']
    )
    for found, expected in zip(
        session.run(None, dict(images=images.numpy())), model(images), strict=True
    ):
        scale = max(1.0, float(expected.abs().max()))
        if not np.allclose(found, expected.numpy(), rtol=0, atol=_TOLERANCE * scale):
            raise RuntimeError(
                f'--to onnx: onnxruntime differs by {np.abs(found - expected.numpy()).max():.2g} '
                'from mmpretrain; another version of torch or onnxscript may export this model'
            )
