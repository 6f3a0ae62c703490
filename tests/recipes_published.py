"""Published numbers of recipes that no library ships as a config, under the names of `recipes`."""

from math import erf, exp, pi, sqrt

IMAGES = {
    'model.data_preprocessor.mean': (123.675, 116.28, 103.53),
    'model.data_preprocessor.std': (58.395, 57.12, 57.375),
    'train.sampler': 'DefaultSampler',
}
# RandomResizedCrop of a fifth of the area at least, and flips.
PRETRAIN_IMAGES = IMAGES | {
    'train.RandomResizedCrop.crop_ratio_range': (0.2, 1.0),
    'train.RandomResizedCrop.interpolation': 'bicubic',
    'train.RandomResizedCrop.scale': 224,
    'train.RandomFlip.prob': 0.5,
}
# timm's create_transform with rand-m9-mstd0.5-inc1 and random erasing per pixel, as in MAE.
FINETUNE_IMAGES = IMAGES | {
    'train.RandomResizedCrop.interpolation': 'bicubic',
    'train.RandomResizedCrop.scale': 224,
    'train.RandomFlip.prob': 0.5,
    'train.RandAugment.policies': 'timm_increasing',
    'train.RandAugment.num_policies': 2,
    'train.RandAugment.magnitude_level': 9,
    'train.RandAugment.magnitude_std': 0.5,
    'train.RandomErasing.erase_prob': 0.25,
    'train.RandomErasing.mode': 'rand',
    'train.RandomErasing.max_area_ratio': 1 / 3,
    'train.RandomErasing.min_area_ratio': 0.02,
    'val.ResizeEdge.interpolation': 'bicubic',
    'val.ResizeEdge.scale': 256,
    'val.CenterCrop.crop_size': 224,
    'model.train_cfg.augments.Mixup.alpha': 0.8,
    'model.train_cfg.augments.CutMix.alpha': 1.0,
    'model.head.loss.label_smooth_val': 0.1,
}


def xavier(inputs: int, outputs: int) -> float:
    """Deviation of the uniform Xavier initialization."""
    return sqrt(2 / (inputs + outputs))


def _localmim_vit(width: int) -> dict:
    """What LocalMIM's ViTs start from: MAE's initialization, every decoded feature normed."""
    return {
        'start.patch_embed': xavier(3 * 16 * 16, width),
        'start.cls_token': 0.02,
        'start.block_2.qkv': xavier(width, 3 * width),
        'start.block_2.proj': xavier(width, width),
        'start.block_2.fc2': xavier(4 * width, width),
        'decoded_features_normed': True,
        'model.backbone.final_norm': True,  # one of the four
    }


def _localmim_swin(width: int) -> dict:
    """What LocalMIM's Swins start from: Xavier everywhere, as for its ViTs."""
    return {
        'start.patch_embed': xavier(3 * 4 * 4, width),
        'start.stage_1.qkv': xavier(width, 3 * width),
        'start.stage_1.proj': xavier(width, width),
        'start.stage_1.bias_table': 0.02,
        'decoded_features_normed': True,
    }


LOCALMIM_PRETRAIN = PRETRAIN_IMAGES | {
    'model.mask_ratio': 0.75,
    'model.neck.num_layers': 1,
    'model.head.loss_weights': (1.0, 1.0, 1.0, 1.0),
    'optimizer.type': 'AdamW',
    'optimizer.betas': (0.9, 0.95),
    'optimizer.weight_decay': 0.05,
    'schedule.linear.from': 0.0,
    'schedule.linear.until': 40,
    'schedule.cosine.begin': 40,
}
# github.com/huawei-noah/Efficient-Computing, Self-supervised/LocalMIM: {ViT,Swin}/README.md for the
# commands, run_pretrain.py and run_finetune.py for defaults, models_*.py, util/lr_sched.py.
LOCALMIM_VIT_B = (
    LOCALMIM_PRETRAIN
    | _localmim_vit(768)
    | {
        'batch': 2048,
        'optimizer.lr': 2e-4 * 2048 / 256,
        'optimizer.not_decayed': ('biases', 'norms'),
        'schedule.epochs': 1600,
        'schedule.cosine.length': 1560,
        'schedule.cosine.lowest': 1e-6,
        'model.backbone.out_indices': (1, 3, 9, 11),
        'model.backbone.arch': 'base',
        'model.neck.embed_dims': 256,
        'model.neck.num_heads': 8,
    }
)
LOCALMIM_VIT_L = (
    LOCALMIM_VIT_B
    | _localmim_vit(1024)
    | {
        'batch': 4096,
        'optimizer.lr': 1.5e-4 * 4096 / 256,
        'schedule.epochs': 800,
        'schedule.cosine.length': 760,
        'model.backbone.out_indices': (1, 3, 21, 23),
        'model.backbone.arch': 'large',
    }
)
LOCALMIM_SWIN_B = (
    LOCALMIM_PRETRAIN
    | _localmim_swin(128)
    | {
        'batch': 2048,
        'optimizer.lr': 1e-4 * 2048 / 256,
        'optimizer.not_decayed': ('biases', 'norms', 'relative position bias'),
        'schedule.epochs': 400,
        'schedule.cosine.length': 360,
        'schedule.cosine.lowest': 0.0,
        'model.backbone.arch': 'base',
        'model.backbone.window_size': 7,
        'model.backbone.drop_path_rate': 0.0,
        'model.neck.embed_dims': 128,  # 64 in the first of its four decoders
        'model.neck.num_heads': 4,
    }
)
LOCALMIM_SWIN_L = (
    LOCALMIM_SWIN_B
    | _localmim_swin(192)
    | {
        'batch': 4096,
        'optimizer.lr': 1e-4 * 4096 / 256,
        'schedule.epochs': 800,
        'schedule.cosine.length': 760,
        'model.backbone.arch': 'large',
        'model.backbone.window_size': 14,
        'model.backbone.stage_cfgs.3.window_size': 7,
    }
)
LOCALMIM_FINETUNE = FINETUNE_IMAGES | {
    'model.head.init_cfg.TruncNormal.std': 2e-5,
    'optimizer.type': 'AdamW',
    'optimizer.betas': (0.9, 0.999),
    'optimizer.weight_decay': 0.05,
    'schedule.linear.from': 0.0,
    # util/lr_sched.py multiplies the whole schedule by a layer's factor.
    'schedule.cosine.lowest_decays': True,
}
LOCALMIM_VIT_B_FINETUNE = LOCALMIM_FINETUNE | {
    'batch': 1024,
    'optimizer.lr': 2e-3,
    'optimizer.layer_decay_rate': 0.65,
    'optimizer.not_decayed': ('biases', 'norms', 'class token', 'position embedding'),
    'schedule.epochs': 100,
    'schedule.linear.until': 20,
    'schedule.cosine.begin': 20,
    'schedule.cosine.length': 80,
    'schedule.cosine.lowest': 1e-5,
    'model.backbone.arch': 'base',
    'model.backbone.drop_path_rate': 0.1,
    'model.backbone.out_type': 'avg_featmap',
    'model.backbone.final_norm': False,
}
LOCALMIM_VIT_L_FINETUNE = LOCALMIM_VIT_B_FINETUNE | {
    'optimizer.lr': 3e-3,
    'optimizer.layer_decay_rate': 0.75,
    'schedule.epochs': 50,
    'schedule.linear.until': 5,
    'schedule.cosine.begin': 5,
    'schedule.cosine.length': 45,
    'schedule.cosine.lowest': 1e-6,
    'model.backbone.arch': 'large',
    'model.backbone.drop_path_rate': 0.2,
}
LOCALMIM_SWIN_B_FINETUNE = LOCALMIM_FINETUNE | {
    'batch': 1024,
    'optimizer.lr': 4e-3,
    'optimizer.layer_decay_rate': 0.9,
    'optimizer.not_decayed': ('biases', 'norms', 'relative position bias'),
    'schedule.epochs': 100,
    'schedule.linear.until': 20,
    'schedule.cosine.begin': 20,
    'schedule.cosine.length': 80,
    'schedule.cosine.lowest': 2.5e-7,
    'model.backbone.arch': 'base',
    'model.backbone.window_size': 7,
    'model.backbone.drop_path_rate': 0.1,
}
LOCALMIM_SWIN_L_FINETUNE = LOCALMIM_SWIN_B_FINETUNE | {
    'batch': 2048,
    'optimizer.lr': 2e-3,
    'optimizer.layer_decay_rate': 0.8,
    'model.backbone.arch': 'large',
    'model.backbone.window_size': 14,
    'model.backbone.stage_cfgs.3.window_size': 7,
    'model.backbone.drop_path_rate': 0.3,
}
# semantic_segmentation/configs/upernet_vit_base_12_512_slide_160k_ade20k.py, backbone/vit.py.
LOCALMIM_UPERNET_VIT_B = {
    'batch': 16,
    'optimizer.type': 'AdamW',
    'optimizer.lr': 4e-4,
    'optimizer.betas': (0.9, 0.999),
    'optimizer.weight_decay': 0.05,
    'optimizer.layer_decay_rate': 0.65,
    # As BEiT's constructor, which is used, means it: it looks for names without "backbone.".
    'optimizer.not_decayed': ('biases', 'norms', 'class token', 'position embedding'),
    'schedule.iterations': 160_000,
    'schedule.linear.from': 1e-6,
    'schedule.linear.until': 1500,
    'schedule.poly.begin': 1500,
    'schedule.poly.length': 158_500,
    'schedule.poly.power': 1.0,
    'schedule.poly.lowest': 0.0,
    'model.backbone.img_size': 512,
    'model.backbone.drop_path_rate': 0.1,
    'model.backbone.final_norm': False,
    'model.backbone.layer_scale_init_value': 1.0,
    'model.backbone.relative_position_bias': True,
    'model.backbone.out_indices': (1, 3, 9, 11),
    'model.decode_head.channels': 768,
    'model.test_cfg.mode': 'slide',
    'model.test_cfg.crop_size': (512, 512),
    'model.test_cfg.stride': (341, 341),
}

# A normal of deviation 0.02 cut off at one deviation.
_CUT = 0.02 * sqrt(1 - 2 * exp(-0.5) / sqrt(2 * pi) / erf(1 / sqrt(2)))
# github.com/Jiahao000/MFM: configs/*/*.yaml over the defaults of config.py, lr_scheduler.py (timm's
# cosine without warmup_prefix), optimizer.py, main_*.py (rates for 512 images), models/.
MFM_PRETRAIN = PRETRAIN_IMAGES | {
    'batch': 2048,
    'optimizer.type': 'AdamW',
    'optimizer.lr': 3e-4 * 2048 / 512,
    'optimizer.betas': (0.9, 0.95),
    'optimizer.weight_decay': 0.05,
    'optimizer.clip_grad': 3.0,
    'schedule.epochs': 300,
    'schedule.linear.from': 2.5e-7 / 3e-4,
    'schedule.linear.until': 20,
    'schedule.cosine.begin': 0,
    'schedule.cosine.length': 300,
    'schedule.cosine.lowest': 2.5e-6 * 2048 / 512,
    'model.degradation.type': 'FrequencyFilter',
    'model.degradation.radius': 16,
    'model.head.loss.gamma': 1.0,
}
MFM_VIT = MFM_PRETRAIN | {
    'model.degradation.low_pass_prob': 0.5,
    'optimizer.not_decayed': ('biases', 'norms', 'class token', 'position embedding'),
    'start.patch_embed': _CUT,
    'start.cls_token': _CUT,
    'start.block_2.qkv': _CUT,
    'start.block_2.proj': _CUT / 2,
    'start.block_2.fc2': _CUT / 2,
    'model.backbone.patch_size': 16,
    'model.backbone.final_norm': True,
    'model.backbone.out_type': 'featmap',
}
MFM_R50 = MFM_PRETRAIN | {'model.degradation.low_pass_prob': 0.3, 'model.backbone.depth': 50}
MFM_VIT_FINETUNE = FINETUNE_IMAGES | {
    'batch': 2048,
    'optimizer.type': 'AdamW',
    'optimizer.lr': 2e-3 * 2048 / 512,
    'optimizer.betas': (0.9, 0.999),
    'optimizer.weight_decay': 0.05,
    'optimizer.layer_decay_rate': 0.8,
    'optimizer.not_decayed': ('biases', 'norms', 'class token', 'position embedding'),
    'schedule.linear.from': 2.5e-7 / 2e-3,
    'schedule.linear.until': 5,
    'schedule.cosine.begin': 0,
    'schedule.cosine.lowest': 2.5e-7 * 2048 / 512,
    'schedule.cosine.lowest_decays': False,
    'model.head.init_cfg.TruncNormal.std': 0.02 * 0.001,
    'model.backbone.drop_path_rate': 0.1,
    'model.backbone.out_type': 'avg_featmap',
    'model.backbone.final_norm': False,
}
MFM_VIT_B_FINETUNE = MFM_VIT_FINETUNE | {
    'schedule.epochs': 100,
    'schedule.cosine.length': 100,
    'model.backbone.arch': 'base',
}
MFM_VIT_S_FINETUNE = MFM_VIT_FINETUNE | {
    'schedule.epochs': 200,
    'schedule.cosine.length': 200,
    'model.backbone.arch': 'deit-small',
}

# github.com/facebookresearch/detectron2: projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py,
# configs/common/models/mask_rcnn_vitdet.py; the jitter of arXiv 2203.16527, appendix A.2. Norms
# (weight_decay_norm) and pos_embed are exempt from decay, and images are padded once normalized.
VITDET_B = {
    'batch': 64,
    'optimizer.type': 'AdamW',
    'optimizer.lr': 1e-4,
    'optimizer.betas': (0.9, 0.999),
    'optimizer.weight_decay': 0.1,
    'optimizer.layer_decay_rate': 0.7,
    'optimizer.not_decayed': ('norms', 'position embedding'),
    'schedule.epochs': 100,
    'schedule.linear.from': 1e-3,
    'schedule.linear.until': 250,
    'schedule.multistep.at': (163889 * 64 / 118000, 177546 * 64 / 118000),
    'schedule.multistep.gamma': 0.1,
    'train.sampler': 'DefaultSampler',
    'train.RandomFlip.prob': 0.5,
    'train.RandomResize.scale': (1024, 1024),
    'train.RandomResize.ratio_range': (0.1, 2.0),
    'train.RandomCrop.crop_size': (1024, 1024),
    'val.Resize.scale': (1024, 1024),
    'model.data_preprocessor.mean': (123.675, 116.28, 103.53),
    'model.data_preprocessor.std': (58.395, 57.12, 57.375),
    'model.data_preprocessor.pad_size_divisor': 1024,
    'model.data_preprocessor.pad_value': 0,
    'model.backbone.window_size': 14,
    'model.backbone.global_blocks': (2, 5, 8, 11),
    'model.backbone.drop_path_rate': 0.1,
    'model.backbone.final_norm': False,
    'model.backbone.relative_position_bias': True,
    'model.rpn_head.num_convs': 2,
    'model.roi_head.bbox_head.type': 'Shared4Conv1FCBBoxHead',
}
