"""Mistakes that people make, and the one line that answers each.

`tests/tools/test_mistakes.py` makes them all, and `python -m tests.mistakes_page` writes them into
docs/troubleshooting.md. Names in braces stand for what the test prepares:

- ``{data}``: a folder with train/ and val/, built-in scenes; ``{few}``: one with three images.
- ``{run}``: options of a run that would work: a new work dir, the data, no workers.
- ``{files}``: a folder with damaged checkpoints and other odd files.
"""

from typing import NamedTuple

VIT = 'configs/demo/wamim_vit.py'
MFM = 'configs/demo/mfm_r18.py'
SEG = 'configs/demo/upernet_swin.py'
DET = 'configs/demo/mask-rcnn_swin.py'
#: What is wrong with `foreign.pth`, which holds one tensor, for a model.
FOREIGN = (
    'the checkpoint does not fit the model: of ... tensors ... are missing and 0 have another '
    'shape, 1 of the checkpoint have no place (...); use the config that it was trained with'
)
CUT = (
    "checkpoint '{files}/cut.pth' is cut short: its download or its saving was interrupted; get it "
    'again, or take an earlier one'
)
REFUSED = (
    '{files}/hostile.pth is refused: it holds posix.system, and only weights are loaded, since any '
    'other class or function may run code of whoever wrote the file. ...'
)


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        what: What is wrong, for the page.
        command: What follows ``python tools/``, the script without its suffix.
        answer: The line, without the name of the command. ``...`` stands for any text.
        light: Whether it comes before torch and the libraries of OpenMMLab are imported.
    """

    what: str
    command: str
    answer: str
    light: bool = True


def late(what: str, command: str, answer: str) -> Mistake:
    """A mistake that is found with the libraries' help."""
    return Mistake(what, command, answer, light=False)


TABLE: dict[str, list[Mistake]] = {
    'The command line': [
        Mistake(
            'no such config',
            'train configs/pretrain/wamim_vit.py',
            "config 'configs/pretrain/wamim_vit.py' does not exist",
        ),
        Mistake(
            'a config with an error in it',
            'train {files}/broken.py',
            "config '{files}/broken.py' cannot be read: SyntaxError: '(' was never closed ...",
        ),
        Mistake(
            'something else in place of a config',
            'train {files}/notes.txt',
            "config '{files}/notes.txt' cannot be read: ...",
        ),
        late(
            'a module in `custom_imports` that is not installed',
            'train {files}/imports.py {run}',
            'custom_imports: Failed to import nothing_there; install it, or put its folder on '
            'PYTHONPATH',
        ),
        Mistake(
            'an option without a value',
            f'train {VIT} --cfg-options data_root',
            '--cfg-options data_root: say KEY=VALUE, without spaces; see train.py --help',
        ),
        Mistake(
            'a dict as the value of an option',
            f"train {VIT} --cfg-options 'custom_hooks=[dict(type=EMAHook)]'",
            '--cfg-options custom_hooks=[dict(type=EMAHook)]: a value is a number, a word, a list '
            'or a tuple; set the parts of a dict one by one, KEY.PART=VALUE, or in a config; see '
            'train.py --help',
        ),
        Mistake(
            'a folder of data that is not there',
            f'train {VIT} --data nowhere',
            "--data 'nowhere' is no folder",
        ),
        Mistake(
            'an option that nothing reads',
            f'train {VIT} --cfg-options max_epochs=3',
            '--cfg-options max_epochs: nothing reads this key; did you mean train_cfg.max_epochs?',
        ),
        Mistake(
            'a word where a number is needed',
            f'train {VIT} --cfg-options model.mask_ratio=high',
            '--cfg-options model.mask_ratio=high: must be a number, as 0.75 in this config',
        ),
        late(
            'a misspelt argument',
            f'train {VIT} {{run}} train_dataloader.batchsize=4',
            '--cfg-options train_dataloader.batchsize: DataLoader has no batchsize; did you mean '
            'train_dataloader.batch_size?',
        ),
        Mistake(
            'an unknown precision',
            f'train {VIT} --amp fp8',
            "argument --amp: invalid choice: 'fp8' (choose from ...); see train.py --help",
        ),
        Mistake(
            'a number that is none',
            f'linear_probe {VIT} {{files}}/foreign.pth --data-root {{data}} --batch-size 0',
            "argument --batch-size: must be a number from 1 on, got '0'; see linear_probe.py "
            '--help',
        ),
        Mistake(
            'nothing to evaluate',
            f'test {VIT} {{files}}/foreign.pth',
            f'{VIT} has no test_dataloader: there is nothing to evaluate',
        ),
        Mistake(
            'no log to draw',
            'curves {files} --out {files}/curves',
            "no logged training step under '{files}'; give the work dir of a run",
        ),
    ],
    'The machine': [
        Mistake(
            '`--launcher slurm` outside Slurm',
            f'train {VIT} --launcher slurm',
            '--launcher slurm: the environment has no SLURM_PROCID, SLURM_NTASKS, SLURM_NODELIST; '
            'start the job with tools/slurm_train.sh, or leave out --launcher',
        ),
        Mistake(
            '`--launcher pytorch` without torchrun',
            f'train {VIT} --launcher pytorch',
            '--launcher pytorch: the environment has no RANK, WORLD_SIZE, MASTER_ADDR, '
            'MASTER_PORT; start the job with tools/dist_train.sh, or leave out --launcher',
        ),
        Mistake(
            'a work dir that is a file',
            f'train {VIT} --work-dir {{files}}/notes.txt',
            "--work-dir '{files}/notes.txt' is a file; give a folder: --work-dir DIR",
        ),
        Mistake(
            'a new run over another one',
            f'train {VIT} --work-dir {{files}}/used',
            '{files}/used holds a run (epoch_3.pth); go on with it by --resume, or choose another '
            '--work-dir',
        ),
        Mistake(
            'an output folder that is a file',
            f'infer {VIT} {{files}}/foreign.pth {{data}} --out {{files}}/notes.txt',
            "--out '{files}/notes.txt' is a file; give a folder: --out DIR",
        ),
        late(
            'float16 without a GPU',
            f'train {VIT} --amp fp16 {{run}}',
            '--amp fp16: MMEngine has float16 on GPUs only; use --amp bf16',
        ),
        late(
            'a config in mixed precision, without a GPU',
            f'train {VIT} {{run}} optim_wrapper.type=AmpOptimWrapper',
            'optim_wrapper.type=AmpOptimWrapper needs a GPU; on a CPU, train with --amp or with '
            'optim_wrapper.type=OptimWrapper ...',
        ),
    ],
    'Data and loaders': [
        Mistake(
            'no such folder',
            f'train {VIT} --cfg-options data_root=/no/such/folder',
            "data root '/no/such/folder' does not exist; set it with --cfg-options data_root=DIR",
        ),
        Mistake(
            'no image in it',
            f'train {VIT} --cfg-options data_root={{files}}/used',
            "no image in '{files}/used', found 1 .pth; put images there (...), or set it with "
            '--cfg-options data_root=DIR',
        ),
        Mistake(
            'nothing to draw',
            f'reconstruct {VIT} {{files}}/foreign.pth /no/such/folder',
            "no image at '/no/such/folder'; give an image or a folder with images (...)",
        ),
        Mistake(
            'fewer images than a batch',
            f'train {VIT} --cfg-options data_root={{few}}',
            'train_dataloader.batch_size=32: 3 images do not fill one batch, and drop_last=True '
            'leaves out what does not; set train_dataloader.batch_size to 3 or less (with '
            '--auto-scale-lr), or train_dataloader.drop_last=False',
        ),
        Mistake(
            'no workers, where they were to persist',
            f'train {VIT} --cfg-options data_root={{data}} train_dataloader.num_workers=0',
            'train_dataloader.num_workers=0 and persistent_workers=True: without workers there '
            'are none of which this is true; add train_dataloader.persistent_workers=False',
        ),
        late(
            'a loader without a data set',
            f'train {VIT} --cfg-options data_root={{data}} val_dataloader.batch_size=2',
            'val_dataloader has no dataset; give it one, or leave out its other keys',
        ),
        Mistake(
            'no epoch',
            f'train {VIT} --cfg-options data_root={{data}} train_cfg.max_epochs=0',
            '--cfg-options train_cfg.max_epochs=0: must be a whole number above 0; this config '
            'has 8',
        ),
        late(
            'validation of pre-training',
            'train {files}/validates.py {run}',
            'val_dataloader and val_cfg: WaMIM pre-trains, it predicts nothing that could be '
            'scored; leave out val_dataloader, val_cfg and val_evaluator, and score checkpoints '
            'with tools/linear_probe.py',
        ),
        late(
            'UperNet with a batch of one',
            f'train {SEG} {{run}} val_dataloader.dataset.indices=None model.backbone.init_cfg=None '
            'train_dataloader.batch_size=1',
            'train_dataloader.batch_size=1: the batch norm decode_head.psp_modules.0.1.bn gets one '
            'value a channel, which has no variance; set train_dataloader.batch_size to 2 or more',
        ),
        late(
            'no such data set',
            f'train {VIT} {{run}} train_dataloader.dataset.type=Imagenet',
            "type='Imagenet': no class of this name is registered in mmpretrain; did you mean "
            "'ImageNet'?",
        ),
    ],
    'The model': [
        late(
            'no such class',
            f'train {VIT} {{run}} model.type=WaMIMM',
            "type='WaMIMM': no class of this name is registered in mmpretrain; did you mean "
            "'WaMIM'?",
        ),
        late(
            "another library's class",
            f'train {VIT} {{run}} model.type=MaskRCNN',
            "type='MaskRCNN': no class of this name is registered in mmpretrain; did you mean "
            "'mmdet.MaskRCNN'?",
        ),
        late(
            'no such optimizer',
            f'train {VIT} {{run}} optim_wrapper.optimizer.type=Adamm',
            'optim_wrapper.optimizer.type, or that of another part, is no class that is '
            'registered ...',
        ),
        late(
            'a mask ratio out of its range',
            f'train {VIT} {{run}} model.mask_ratio=1.0',
            'mask_ratio must be between 0 and 1, both excluded, got 1.0',
        ),
        late(
            'a word for numbers',
            f'train {VIT} {{run}} model.target_generator.levels=abc',
            "WaveletTargetGenerator: levels must be ascending whole numbers, 1 or more, got 'abc'",
        ),
        late(
            'no such wavelet',
            f'train {VIT} {{run}} model.target_generator.wavelet=hear',
            "unknown wavelet 'hear'...",
        ),
        late(
            'heads that do not divide the width',
            f'train {VIT} {{run}} model.neck.num_heads=7',
            'WaMIMDecoder: embed_dims 64 is not a multiple of num_heads 7',
        ),
        late(
            'images that are no multiple of the mask unit',
            f'train {VIT} {{run}} model.backbone.img_size=100',
            'WaMIMViT: masking needs sides divisible by the mask unit of 16 pixels, got 100 x '
            '100; resize or crop the images',
        ),
        late(
            'another size in the pipeline than in the model',
            f'train {VIT} {{run}} train_dataloader.dataset.pipeline.0.scale=64',
            'the pipeline makes images of (64, 64), and the model is built for (128, 128), '
            '(height, width): --cfg-options train_dataloader.dataset.pipeline.0.scale='
            '"(128,128)", or set the img_size of model and backbone',
        ),
        late(
            'a weight missing',
            f'train {VIT} {{run}} model.head.loss_weights=[1,2]',
            'WaMIMHead: 2 loss_weights for 4 levels (2, 3, 4, 5); give one for each',
        ),
        late(
            'a radius beyond the spectrum',
            f'train {MFM} {{run}} model.degradation.radius=500',
            'FrequencyFilter: radius 500 is larger than half the side of images of 128 x 128; use '
            '64 or less',
        ),
        late(
            'a pre-training picture of a segmentor',
            f'reconstruct {SEG} {{files}}/foreign.pth {{few}}',
            'EncoderDecoder reconstructs nothing, WaMIM and MFM do; take a pre-training config, or '
            'tools/infer.py for this one',
        ),
    ],
    'Labels and formats': [
        late(
            'a class folder in `val/` that `train/` has not',
            'train {files}/folders.py {run}',
            "1 of the 2 class folders in '{files}/val' (c) are none of the 2 classes that the "
            'model is '
            'trained on (a, b); rename or remove them, or set data_root or data_prefix to those '
            'of the '
            'classes',
        ),
        late(
            'masks of 0 and 255',
            'train {files}/masks.py {run}',
            "6 label maps of train_dataloader (of 6, in '{files}/masks') hold only 0 and 255, "
            'where '
            '255 is ignored: 1 of 2 classes, so there is nothing to learn; masks of 0 and 255 '
            'are to '
            'be saved as 0 and 1, each pixel is the number of its class',
        ),
        late(
            'a label beyond the classes',
            'train {files}/masks.py {run} train_dataloader.dataset.data_prefix.seg_map_path=seven',
            "label map '{files}/seven/...' holds 7, and train_dataloader has 2 classes: values "
            'are 0 '
            'to 1, or 255 for pixels to ignore; number the classes so, or name all of them in '
            'train_dataloader.dataset.metainfo.classes and set num_classes',
        ),
        late(
            'images of another suffix than the data set looks for',
            'train {files}/masks.py {run} train_dataloader.dataset.data_prefix.img_path=png',
            "no image with the suffix '.jpg' in '{files}/png', which holds 6 .png; set "
            'train_dataloader.dataset.img_suffix, such as train_dataloader.dataset.img_suffix=.png',
        ),
        late(
            'boxes without masks, for Mask R-CNN',
            f'train {DET} {{run}} model.backbone.init_cfg=None '
            'train_dataloader.dataset.ann_file={files}/boxes.json',
            "'{files}/boxes.json': ... annotations have no 'segmentation' (id 1, 2, 3, ...), and "
            'the '
            'model learns or is scored on masks; add them, or use a detector without masks and a '
            "pipeline without with_mask=True (and metric='bbox' in the evaluators)",
        ),
        late(
            'an annotation file that was cut short',
            f'train {DET} {{run}} model.backbone.init_cfg=None '
            'train_dataloader.dataset.ann_file={files}/cut.json',
            "'{files}/cut.json' is not JSON, or is damaged: ...; get it again",
        ),
        late(
            'images of more than 8 bits',
            f'train {VIT} {{run}} data_root={{files}}/deep train_dataloader.batch_size=1',
            "'{files}/deep/0.png' has 16 bits a channel, and the loader makes 8 bits of them: "
            'say which '
            'values become 0 and 255, with value_range=(LOWEST, HIGHEST), (0, 4095) for 12 bits: '
            '--cfg-options train_dataloader.dataset.pipeline.0.value_range="(0,4095)"',
        ),
        late(
            'grey images for a model of colours',
            f'train {VIT} {{run}} train_dataloader.dataset.pipeline.0.color_type=grayscale',
            'the pipeline makes images of 1 channel, and model.backbone takes 3: --cfg-options '
            'model.backbone.in_channels=1, or '
            'train_dataloader.dataset.pipeline.0.color_type=color',
        ),
    ],
    'Checkpoints': [
        Mistake(
            'no such file',
            f'train {VIT} --resume {{files}}/no.pth --cfg-options data_root={{data}}',
            "checkpoint '{files}/no.pth' does not exist",
        ),
        Mistake(
            'no such file to fine-tune from',
            f'train {SEG} --cfg-options model.backbone.init_cfg.checkpoint={{files}}/no.pth',
            "model.backbone.init_cfg.checkpoint '{files}/no.pth' does not exist; set it with "
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE, or start at random with '
            'model.backbone.init_cfg=None',
        ),
        Mistake(
            'a folder',
            f'test {SEG} {{files}} --cfg-options data_root={{data}}',
            "checkpoint '{files}' is a folder; give a file, in there are ...",
        ),
        Mistake(
            'another file',
            f'linear_probe {VIT} {{files}}/page.pth --data-root {{data}}',
            "checkpoint '{files}/page.pth' is no checkpoint of torch: it begins with b'<html>...'",
        ),
        Mistake(
            'an empty file',
            f'infer {VIT} {{files}}/empty.pth {{few}} --out {{files}}/out',
            "checkpoint '{files}/empty.pth' is no checkpoint of torch: it is empty",
        ),
        *(
            Mistake('a file that was cut short', command.format(file='{files}/cut.pth'), CUT)
            for command in (
                f'train {VIT} --resume {{file}} --cfg-options data_root={{{{data}}}}',
                f'reconstruct {VIT} {{file}} {{{{few}}}}',
                f'robustness {SEG} {{file}} --on corruptions',
                'export_backbone {file} {{files}}/out.pth --to timm',
            )
        ),
        *(
            late('a checkpoint of another model', command, FOREIGN)
            for command in (
                f'train {VIT} --resume {{files}}/foreign.pth {{run}}',
                f'test {SEG} {{files}}/foreign.pth --cfg-options data_root={{data}} '
                'test_dataloader.dataset.indices=None',
                f'reconstruct {VIT} {{files}}/foreign.pth {{few}}',
                f'infer {SEG} {{files}}/foreign.pth {{few}} --out {{files}}/out',
                f'linear_probe {VIT} {{files}}/foreign.pth --data-root {{data}}',
            )
        ),
        late(
            'a file without a config, to export',
            'export_backbone {files}/foreign.pth {files}/out.pth --to timm',
            "{files}/foreign.pth does not hold its run's config (meta.cfg), which says what its "
            'backbone is; take a checkpoint as the run has written it',
        ),
        late(
            'weights alone, to resume from',
            f'train {VIT} --resume {{files}}/weights.pth {{run}}',
            '--resume: the checkpoint has no meta, message_hub, optimizer: it holds weights alone, '
            'and no run to resume; start anew from its weights: no --resume, and --cfg-options '
            'load_from=CHECKPOINT',
        ),
        late(
            'a file that would run code',
            f'train {VIT} --resume {{files}}/hostile.pth {{run}}',
            REFUSED,
        ),
        late(
            'a file that would run code',
            f'linear_probe {VIT} {{files}}/hostile.pth --data-root {{data}}',
            REFUSED,
        ),
    ],
}
MISTAKES = [mistake for mistakes in TABLE.values() for mistake in mistakes]
