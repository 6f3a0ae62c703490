"""For transformers: a folder that ``from_pretrained`` takes."""

from pathlib import Path
from types import ModuleType
from typing import Any

from mmpretrain.models import ResNet, SwinTransformer, VisionTransformer
from torch import Tensor

from .backbone import Backbone
from .conversion import (
    Handover,
    Rules,
    last_norm,
    library,
    rename,
    reorder_patch_merging,
    side,
    without,
)

# Names as in the checkpoints of the hub; transformers turns them into its version's own.
_VIT: Rules = [
    (r'^(cls_token)', r'embeddings.\1'),
    (r'^pos_embed', 'embeddings.position_embeddings'),
    (r'^patch_embed\.', 'embeddings.patch_embeddings.'),
    (r'^layers\.', 'encoder.layer.'),
    (r'\.ln1\.', '.layernorm_before.'),
    (r'\.ln2\.', '.layernorm_after.'),
    (r'\.attn\.(query|key|value)\.', r'.attention.attention.\1.'),
    (r'\.attn\.proj\.', '.attention.output.dense.'),
    (r'\.ffn\.layers\.0\.0\.', '.intermediate.dense.'),
    (r'\.ffn\.layers\.1\.', '.output.dense.'),
    (r'^ln1\.', 'layernorm.'),
]
_SWIN: Rules = [
    (r'^patch_embed\.projection\.', 'embeddings.patch_embeddings.projection.'),
    (r'^patch_embed\.norm\.', 'embeddings.norm.'),
    (r'^stages\.', 'encoder.layers.'),
    (r'\.norm1\.', '.layernorm_before.'),
    (r'\.norm2\.', '.layernorm_after.'),
    (r'\.attn\.w_msa\.proj\.', '.attention.output.dense.'),
    (r'\.attn\.w_msa\.', '.attention.self.'),
    (r'\.ffn\.layers\.0\.0\.', '.intermediate.dense.'),
    (r'\.ffn\.layers\.1\.', '.output.dense.'),
    (r'^norm(\d)\.', lambda match: f'hidden_states_norms.stage{int(match[1]) + 1}.'),
]
_RESNET: Rules = [
    (r'^conv1\.', 'embedder.embedder.convolution.'),
    (r'^bn1\.', 'embedder.embedder.normalization.'),
    (r'^layer(\d)\.(\d+)\.', lambda m: f'encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.'),
    (r'\.conv(\d)\.', lambda match: f'.layer.{int(match[1]) - 1}.convolution.'),
    (r'\.bn(\d)\.', lambda match: f'.layer.{int(match[1]) - 1}.normalization.'),
    (r'\.downsample\.0\.', '.shortcut.convolution.'),
    (r'\.downsample\.1\.', '.shortcut.normalization.'),
]


def to_transformers(backbone: Backbone) -> Handover:
    """For transformers' ViTModel, SwinBackbone (and SwinModel) or ResNetBackbone."""
    transformers = library('transformers')
    if int(transformers.__version__.split('.')[0]) < 5:
        raise ImportError(
            '--to transformers needs transformers>=5, whose SwinBackbone contains a SwinModel; '
            f'{transformers.__version__} is installed'
        )
    module = backbone.convertible('transformers')
    found = _CONVERT[backbone.host](transformers, module, _split_qkv(backbone.weights))
    normalization = backbone.normalization
    if normalization is None:
        return found
    processor = transformers.ViTImageProcessor(
        size=dict(zip(('height', 'width'), backbone.image_size(module), strict=True)),
        image_mean=list(normalization.mean),
        image_std=list(normalization.std),
        resample=3,  # bicubic, as for pre-training
    )

    def save(out: Path) -> None:
        found.save(out)
        processor.save_pretrained(out)

    images = "images = transformers.AutoImageProcessor.from_pretrained('OUT')"
    return found._replace(save=save, usage=[images, *found.usage])


def _vit(
    transformers: ModuleType, module: VisionTransformer, weights: dict[str, Tensor]
) -> Handover:
    if not module.final_norm:
        raise ValueError(
            'VisionTransformer with final_norm=False cannot be converted for transformers, whose '
            'ViTModel always ends in a norm'
        )
    settings = module.arch_settings
    left_out = [name for name in weights if name.startswith('ln2.')]
    config = transformers.ViTConfig(
        image_size=side(module.img_size),
        patch_size=side(module.patch_embed.projection.kernel_size),
        num_channels=module.patch_embed.projection.in_channels,
        hidden_size=settings['embed_dims'],
        num_hidden_layers=settings['num_layers'],
        num_attention_heads=settings['num_heads'],
        intermediate_size=settings['feedforward_channels'],
        layer_norm_eps=1e-6,
    )
    state = rename(without(weights, left_out), _VIT)
    model = _load(transformers.ViTModel, config, state, add_pooling_layer=False)
    usage = "model = transformers.ViTModel.from_pretrained('OUT', add_pooling_layer=False)"
    return Handover(model.save_pretrained, [usage], left_out)


def _swin(
    transformers: ModuleType, module: SwinTransformer, weights: dict[str, Tensor]
) -> Handover:
    """SwinBackbone has the norm of every stage; SwinModel has the last one's only.

    The folder serves both: SwinBackbone contains a SwinModel, which gets a copy of the last norm.
    They differ where a stage is one window wide. There SwinBackbone still shifts windows, like
    mmdet and mmseg; SwinModel does not, like mmpretrain in pre-training.
    """
    last = last_norm(module)
    config = transformers.SwinConfig(
        image_size=side(module.patch_embed.init_input_size),
        patch_size=side(module.patch_embed.projection.kernel_size),
        num_channels=module.patch_embed.projection.in_channels,
        embed_dim=module.embed_dims,
        depths=list(module.depths),
        num_heads=list(module.num_heads),
        window_size=module.stages[0].blocks[0].attn.window_size,
        layer_norm_eps=1e-5,
        out_indices=[i + 1 for i in sorted(module.out_indices)],  # 0 is the patch embedding
    )
    state = rename(reorder_patch_merging(weights), _SWIN)
    for name in ('weight', 'bias'):  # copies, as save_pretrained refuses shared tensors
        state[f'swin.layernorm.{name}'] = weights[f'{last}.{name}'].clone()
    model = _load(transformers.SwinBackbone, config, state)
    usage = [
        "model = transformers.SwinBackbone.from_pretrained('OUT')  # or, for the last stage only,",
        "model = transformers.SwinModel.from_pretrained('OUT', add_pooling_layer=False)",
    ]
    return Handover(model.save_pretrained, usage, [])


def _resnet(transformers: ModuleType, module: ResNet, weights: dict[str, Tensor]) -> Handover:
    """ResNetBackbone and ResNetModel have the same tensors; a folder of one is one of the other."""
    block, depths = module.arch_settings[module.depth]
    config = transformers.ResNetConfig(
        num_channels=module.conv1.in_channels,
        embedding_size=64,
        hidden_sizes=[64 * 2**i * module.expansion for i in range(len(depths))],
        depths=list(depths),
        layer_type='bottleneck' if block.__name__ == 'Bottleneck' else 'basic',
        out_indices=[i + 1 for i in range(len(depths))],  # 0 is the stem
    )
    model = _load(transformers.ResNetBackbone, config, rename(weights, _RESNET))
    usage = "model = transformers.ResNetBackbone.from_pretrained('OUT')"
    return Handover(model.save_pretrained, [usage], [])


_CONVERT = {'VisionTransformer': _vit, 'SwinTransformer': _swin, 'ResNet': _resnet}


def _split_qkv(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """One projection each for queries, keys and values."""
    split = {}
    for name, tensor in weights.items():
        if '.qkv.' in name:
            for part, rows in zip(('query', 'key', 'value'), tensor.chunk(3), strict=True):
                split[name.replace('.qkv.', f'.{part}.')] = rows
        else:
            split[name] = tensor
    return split


def _load(cls: Any, config: Any, state: dict[str, Tensor], **kwargs) -> Any:
    """A model of one of transformers' classes, with these tensors.

    Raises:
        RuntimeError: One is missing, left over or of another shape.
    """
    model, report = cls.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, **kwargs
    )
    if misfits := {kind: sorted(names)[:3] for kind, names in report.items() if names}:
        raise RuntimeError(f"the tensors do not fit transformers' {cls.__name__}: {misfits}")
    return model
