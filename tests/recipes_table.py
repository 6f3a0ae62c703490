"""Every recipe beside its source, and why it differs where it does."""

from functools import partial

from . import recipes_published as published
from .recipes import Facts, Recipe, ours, upstream

LOCALMIM = 'LocalMIM (huawei-noah/Efficient-Computing, Self-supervised/LocalMIM)'
MFM = "MFM's release (Jiahao000/MFM)"

HOW_SAID = 'how the libraries say it'
FUSED = 'the same steps in less time'
TINY_START = "one ten-thousandth, as in mmpretrain's MAE, where LocalMIM begins at 0"
TOKENS = "as in mmpretrain's MAE, and as weight decay is meant"
EPOCHS = 'ours: the paper is silent, and 400 epochs are what LocalMIM gives Swin-B'
METHOD = 'the method: WaMIM, sections 3.1 to 3.4, and docs/method.md'


def because(why: str, *names: str) -> dict[str, str]:
    """One reason for several facts."""
    return dict.fromkeys(names, why)


WAMIM = {
    'optimizer.fused': FUSED,
    'schedule.linear.from': TINY_START,
    'model.head.*': METHOD,
    'model.head.type': METHOD,
    'model.head.loss_weights': 'WaMIM, section 4.1: coarse levels count more',
    'model.neck.*': METHOD,
    'model.neck.type': METHOD,
    'model.target_generator.*': METHOD,
    'model.backbone.type': METHOD,
    'model.backbone.out_indices': METHOD + ': blocks 3, 6, 9 and 12 of 12, each stage of Swin',
    'model.init_cfg.*': 'measured instead, as start.*, or set by the source in code',
    'model.data_preprocessor.*': HOW_SAID,
    'model.backbone.patch_size': HOW_SAID,
}
FINETUNED = {
    'optimizer.fused': FUSED,
    'schedule.linear.from': TINY_START,
    'model.data_preprocessor.*': HOW_SAID,
    'model.head.*': HOW_SAID,
    'model.neck.*': HOW_SAID,
    'model.backbone.type': HOW_SAID,
    'model.backbone.patch_size': HOW_SAID,
    'model.backbone.out_indices': HOW_SAID,
    'train.RandAugment.hparams.*': HOW_SAID,
    'train.RandAugment.total_level': HOW_SAID,
    'train.RandomErasing.fill_*': HOW_SAID,
}
SWIN_POOL = {
    'model.neck.*': "Swin's own order, norm and then mean, with the pre-trained norm; LocalMIM "
    'pools first and norms anew'
}
SIBLING = 'taken over and not tuned; what differs is'
DET = {
    'optimizer.fused': FUSED,
}

RECIPES = [
    Recipe(
        'pretrain/wamim_vit-b',
        LOCALMIM + ', ViT-B',
        published.LOCALMIM_VIT_B,
        {
            'schedule.epochs': EPOCHS,
            'schedule.cosine.length': EPOCHS,
            'optimizer.not_decayed': TOKENS,
        }
        | WAMIM,
    ),
    Recipe(
        'pretrain/wamim_vit-b',
        'MAE in mmpretrain (mae_vit-base-p16_8xb512-amp-coslr-400e_in1k.py)',
        partial(upstream, 'mmpretrain', 'mae/mae_vit-base-p16_8xb512-amp-coslr-400e_in1k'),
        {
            'batch': "LocalMIM's",
            'optimizer.lr': "LocalMIM's",
            'schedule.cosine.lowest': "LocalMIM's",
            'optimizer.not_decayed': 'the position embedding is fixed and not optimized',
            'model.backbone.arch': 'two names of one size',
            'model.*mask_ratio': HOW_SAID,
            'start.*': "a config has no such numbers: held against MAE's formulas above",
            'decoded_features_normed': METHOD,
        }
        | WAMIM,
    ),
    Recipe(
        'pretrain/wamim_vit-l',
        LOCALMIM + ', ViT-L',
        published.LOCALMIM_VIT_L,
        {'optimizer.not_decayed': TOKENS} | WAMIM,
    ),
    Recipe(
        'pretrain/wamim_vit-h',
        'MAE in mmpretrain (mae_vit-huge-p14_8xb512-amp-coslr-1600e_in1k.py)',
        partial(upstream, 'mmpretrain', 'mae/mae_vit-huge-p14_8xb512-amp-coslr-1600e_in1k'),
        {
            'schedule.epochs': "LocalMIM's for ViT-L, the largest that it has",
            'schedule.cosine.length': "LocalMIM's for ViT-L",
            'schedule.cosine.lowest': "LocalMIM's",
            'optimizer.not_decayed': 'the position embedding is fixed and not optimized',
            'model.backbone.arch': 'two names of one size',
            'model.*mask_ratio': HOW_SAID,
            'model.target_generator.img_size': 'no power of two fits into patches of 14 pixels; at '
            '256 x 256 a patch has 16, as in the smaller ViTs',
            'start.*': "a config has no such numbers: held against MAE's formulas above",
            'decoded_features_normed': METHOD,
        }
        | WAMIM,
    ),
    Recipe(
        'pretrain/wamim_vit-s',
        'our wamim_vit-b.py',
        partial(ours, 'pretrain/wamim_vit-b'),
        {'model.backbone.arch': f'{SIBLING} the size'}
        | because(
            'of the width',
            'start.patch_embed',
            *(f'start.block_2.{name}' for name in ('qkv', 'proj', 'fc2')),
        ),
    ),
    Recipe(
        'pretrain/wamim_swin-b',
        LOCALMIM + ', Swin-B',
        published.LOCALMIM_SWIN_B,
        WAMIM,
    ),
    Recipe(
        'pretrain/wamim_swin-b',
        'SimMIM in mmpretrain (simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px.py)',
        partial(
            upstream, 'mmpretrain', 'simmim/simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px'
        ),
        because(
            "LocalMIM's; SimMIM is the relative that sees all positions, at 192 pixels",
            'optimizer.betas',
            'optimizer.clip_grad',
            'schedule.epochs',
            'schedule.linear.until',
            *(f'schedule.cosine.{name}' for name in ('begin', 'length', 'lowest')),
            'train.*',
            'train.RandomResizedCrop.crop_ratio_range',
            'train.RandomResizedCrop.scale',
            'model.backbone.window_size',
        )
        | {'model.backbone.*': METHOD, 'model.mask_ratio': METHOD, 'decoded*': METHOD}
        | {'start.*': "a config has no such numbers: held against LocalMIM's formulas above"}
        | WAMIM,
    ),
    Recipe(
        'pretrain/wamim_swin-l',
        LOCALMIM + ', Swin-L',
        published.LOCALMIM_SWIN_L,
        {'model.backbone.stage_cfgs.*': HOW_SAID} | WAMIM,
    ),
    Recipe(
        'pretrain/wamim_swin-t',
        'our wamim_swin-b.py',
        partial(ours, 'pretrain/wamim_swin-b'),
        {'model.backbone.arch': f'{SIBLING} the size'}
        | because(
            'of the width',
            'start.stage_1.qkv',
            'start.stage_1.proj',
        ),
    ),
]


def degraded(size: str, degradation: dict) -> Facts:
    """MFM's facts with another degradation."""
    kept = {k: v for k, v in ours(f'pretrain/mfm_{size}').items() if 'degradation' not in k}
    return kept | {f'model.degradation.{name}': value for name, value in degradation.items()}


MFM_ALLOWED = {
    'optimizer.fused': FUSED,
    'model.degradation.per': 'drawn for every image, docs/mfm.md',
    'model.backbone.*': HOW_SAID,
    'model.head.*': HOW_SAID,
    'model.data_preprocessor.*': HOW_SAID,
}
RECIPES += [
    Recipe(f'pretrain/mfm_{size}', f'{MFM}, configs/{folder}', numbers, MFM_ALLOWED)
    for size, folder, numbers in (
        ('vit-b', 'vit_base', published.MFM_VIT),
        ('vit-s', 'vit_small', published.MFM_VIT),
        ('r50', 'resnet50', published.MFM_R50),
    )
]
RECIPES.append(
    Recipe(
        'pretrain/mfm_swin-b',
        'our mfm_vit-b.py',
        partial(ours, 'pretrain/mfm_vit-b'),
        {
            'model.backbone.*': f'{SIBLING} the encoder: the release has no config of Swin',
            'model.backbone.type': f'{SIBLING} the encoder',
            'model.init_cfg.*': "the release's for Swin, models/swin_transformer.py",
            'optimizer.not_decayed': "the release's for Swin",
            'start.*': 'of another encoder',
            'start.patch_embed': "mmpretrain's Swin, as the release's",
        },
    )
)
RECIPES += [
    Recipe(
        f'pretrain/{task}_{size}',
        f'our mfm_{size}.py; the degradation: {MFM}',
        partial(degraded, size, degradation),
        {},
    )
    for task, degradation in (
        ('sr', dict(type='SuperResolution', scale=8)),
        (
            'deblur',
            dict(type='Deblur', sigma=5, kernel_sizes=(7, 9, 11, 13, 15, 17, 19, 21)),
        ),
        ('denoise', dict(type='Denoise', sigma=75)),
    )
    for size in ('vit-s', 'vit-b', 'swin-b', 'r50')
]

RECIPES += [
    Recipe(
        'cls/wamim_vit-b_finetune',
        LOCALMIM + ', ViT-B',
        published.LOCALMIM_VIT_B_FINETUNE,
        FINETUNED,
    ),
    Recipe(
        'cls/wamim_vit-b_finetune',
        'MAE in mmpretrain (mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py)',
        partial(upstream, 'mmpretrain', 'mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k'),
        because(
            "LocalMIM's: a longer warm-up, and a floor that decays with the layers",
            'schedule.linear.until',
            *(f'schedule.cosine.{n}' for n in ('begin', 'length', 'lowest', 'lowest_decays')),
        )
        | FINETUNED,
    ),
    Recipe(
        'cls/wamim_vit-l_finetune',
        LOCALMIM + ', ViT-L',
        published.LOCALMIM_VIT_L_FINETUNE,
        FINETUNED,
    ),
    Recipe(
        'cls/wamim_vit-s_finetune',
        'our mfm_vit-s_finetune.py',
        partial(ours, 'cls/mfm_vit-s_finetune'),
        {},
    ),
    Recipe(
        'cls/wamim_swin-b_finetune',
        LOCALMIM + ', Swin-B',
        published.LOCALMIM_SWIN_B_FINETUNE,
        SWIN_POOL | FINETUNED,
    ),
    Recipe(
        'cls/wamim_swin-b_finetune',
        'SimMIM in mmpretrain (simmim/benchmarks/swin-base-w7_8xb256-coslr-100e_in1k.py)',
        partial(upstream, 'mmpretrain', 'simmim/benchmarks/swin-base-w7_8xb256-coslr-100e_in1k'),
        because(
            "LocalMIM's",
            'batch',
            'optimizer.lr',
            'optimizer.betas',
            'optimizer.clip_grad',
            'schedule.cosine.lowest',
            'schedule.cosine.lowest_decays',
        )
        | {'model.init_cfg.*': 'nothing is left to initialize but the head'}
        | FINETUNED,
    ),
    Recipe(
        'cls/wamim_swin-l_finetune',
        LOCALMIM + ', Swin-L',
        published.LOCALMIM_SWIN_L_FINETUNE,
        {'model.backbone.stage_cfgs.*': HOW_SAID} | SWIN_POOL | FINETUNED,
    ),
    Recipe(
        'cls/wamim_swin-t_finetune',
        'our wamim_swin-b_finetune.py',
        partial(ours, 'cls/wamim_swin-b_finetune'),
        {'model.backbone.arch': f'{SIBLING} the size', 'model.head.in_channels': 'of the width'},
    ),
    Recipe(
        'cls/mfm_vit-b_finetune',
        f'{MFM}, configs/vit_base',
        published.MFM_VIT_B_FINETUNE,
        FINETUNED,
    ),
    Recipe(
        'cls/mfm_vit-s_finetune',
        f'{MFM}, configs/vit_small',
        published.MFM_VIT_S_FINETUNE,
        FINETUNED,
    ),
    Recipe(
        'cls/mfm_swin-b_finetune',
        'our wamim_swin-b_finetune.py',
        partial(ours, 'cls/wamim_swin-b_finetune'),
        {},
    ),
    Recipe(
        'cls/mfm_r50_finetune-300e',
        'A2 in mmpretrain (resnet50_8xb256-rsb-a2-300e_in1k.py)',
        partial(upstream, 'mmpretrain', 'resnet/resnet50_8xb256-rsb-a2-300e_in1k'),
        {},
    ),
    Recipe(
        'cls/mfm_r50_finetune-100e',
        'A3 in mmpretrain (resnet50_8xb256-rsb-a3-100e_in1k.py)',
        partial(upstream, 'mmpretrain', 'resnet/resnet50_8xb256-rsb-a3-100e_in1k'),
        {
            'train.RandomResizedCrop.scale': 'arXiv 2110.00476, table 2, trains A3 at 160 pixels',
            'model.backbone.drop_path_rate': 'none, in other words',
        },
    ),
    Recipe(
        'cls/wamim_vit-b_linear',
        'MAE in mmpretrain (mae/benchmarks/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py)',
        partial(
            upstream, 'mmpretrain', 'mae/benchmarks/vit-base-p16_8xb2048-linear-coslr-90e_in1k'
        ),
        {
            'batch': "MAE's (FINETUNE.md); mmpretrain's file inherits another's auto_scale_lr",
            'model.backbone.out_type': 'the mean of the tokens: no loss of the pre-training '
            'reaches the class token in the last block',
            'model.neck.*': 'the same batch norm, behind the mean',
            'model.head.*': HOW_SAID,
            'model.head.type': HOW_SAID,
            '*.interpolation': "bicubic, as MAE's code (main_linprobe.py)",
            'model.data_preprocessor.*': HOW_SAID,
        },
    ),
]
RECIPES += [
    Recipe(
        f'cls/{name}_linear',
        'our wamim_vit-b_linear.py',
        partial(ours, 'cls/wamim_vit-b_linear'),
        {'optimizer.not_decayed': 'no weight decay at all'}
        | because(
            f'{SIBLING} the encoder',
            'model.*',
            *(f'model.backbone.{n}' for n in ('type', 'arch', 'frozen_stages')),
            'model.head.in_channels',
            'model.neck.ClsBatchNormNeck.input_features',
        ),
    )
    for name in (
        *(f'wamim_{size}' for size in ('vit-s', 'vit-l', 'swin-t', 'swin-b', 'swin-l')),
        *('mfm_vit-b', 'mfm_r50'),
    )
]

SWIN_B = {
    'model.backbone.depths': 'Swin-B; mmdet has T and S',
    'model.backbone.embed_dims': 'Swin-B',
    'model.backbone.num_heads': 'Swin-B',
    'model.neck.in_channels': 'Swin-B',
    'model.backbone.drop_path_rate': "Swin's own for Swin-B (0.2 for T)",
}
RECIPES += [
    Recipe(
        f'det/mask-rcnn_wamim-swin-b_fpn_{schedule}_coco',
        f'Swin-T in mmdet ({file}.py)',
        partial(upstream, 'mmdet', f'swin/{file}'),
        SWIN_B | DET,
    )
    for schedule, file in (
        ('1x', 'mask-rcnn_swin-t-p4-w7_fpn_1x_coco'),
        ('ms-3x', 'mask-rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco'),
    )
]
RECIPES += [
    Recipe(
        'det/mask-rcnn_wamim-vit-b_sfp_coco',
        'ViTDet-B in detectron2 (projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py)',
        published.VITDET_B,
        {
            'schedule.multistep.at': 'whole epochs',
            'model.backbone.relative_position_bias': "the pre-trained encoder's architecture has "
            'none; so all of its tensors are used',
            'model.backbone.final_norm': 'the norm was trained to make the last tokens readable',
            'model.backbone.*': HOW_SAID,
            'model.*': "mmdet's Mask R-CNN",
            'train.*': HOW_SAID,
            'val.*': HOW_SAID,
        }
        | DET,
    ),
    Recipe(
        'det/mask-rcnn_mfm-vit-b_sfp_coco',
        'our mask-rcnn_wamim-vit-b_sfp_coco.py',
        partial(ours, 'det/mask-rcnn_wamim-vit-b_sfp_coco'),
        {},
    ),
    Recipe(
        'det/mask-rcnn_mfm-r50_fpn_1x_coco',
        'ResNet-50 in mmdet (mask-rcnn_r50_fpn_1x_coco.py)',
        partial(upstream, 'mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco'),
        because(
            'batch norms of self-supervised ResNets are trained and synchronized, and so are the '
            "heads', as in MoCo (arXiv 1911.05722, section 4.2)",
            'model.*',
            'model.backbone.frozen_stages',
            'model.backbone.norm_cfg.type',
            'model.roi_head.bbox_head.type',
        ),
    ),
    Recipe(
        'seg/upernet_wamim-swin-b_160k_ade20k-512x512',
        'Swin-B in mmseg (swin-base-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py)',
        partial(
            upstream,
            'mmseg',
            'swin/swin-base-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
        ),
        {'optimizer.fused': FUSED, 'model.backbone.*': HOW_SAID},
    ),
    Recipe(
        'seg/upernet_wamim-vit-b_160k_ade20k-512x512',
        LOCALMIM + ', UperNet with ViT-B',
        published.LOCALMIM_UPERNET_VIT_B,
        {
            'optimizer.fused': FUSED,
            'model.backbone.layer_scale_init_value': 'the pre-trained architecture has none',
            'model.backbone.relative_position_bias': "mmpretrain's ViT has none, and mmseg's MAE "
            'takes other names',
            'model.backbone.out_indices': 'the blocks that pre-training decodes',
            'model.neck.*': "mmseg's pyramid in the place of the backbone's own; the coarsest map "
            'by maximum, not by mean',
            'model.*': "mmseg's UperNet",
            'train.*': "mmseg's ADE20K",
            'val.*': "mmseg's ADE20K",
        },
    ),
    Recipe(
        'seg/upernet_mfm-vit-b_160k_ade20k-512x512',
        'MAE ViT-B in mmseg (mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py)',
        partial(upstream, 'mmseg', 'mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512'),
        {
            'optimizer.fused': FUSED,
            'optimizer.not_decayed': "as in cls/ and det/; mmseg's constructor means to exempt "
            'them, but looks for names without "backbone."',
            'model.backbone.init_values': 'no layer scale: the pre-trained architecture has none',
            'model.backbone.*': "mmpretrain's ViT, in other words",
            'model.backbone.img_size': HOW_SAID,
            'model.backbone.type': "mmpretrain's ViT, which has no relative position bias",
            'model.neck.norm_cfg.*': "mmseg's default",
        },
    ),
    Recipe(
        'seg/upernet_mfm-r50_160k_ade20k-512x512',
        'ResNet-50 in mmseg (upernet_r50_4xb4-160k_ade20k-512x512.py)',
        partial(upstream, 'mmseg', 'upernet/upernet_r50_4xb4-160k_ade20k-512x512'),
        {
            'model.backbone.type': 'the 7 x 7 stem of the pre-trained encoder',
            'model.backbone.*': HOW_SAID,
        },
    ),
]
