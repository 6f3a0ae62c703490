"""Annotation files in COCO's format, held against images, classes and what a model needs."""

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from ..image_files import missing_files
from .classes import shown

FORMAT = '{"images": [...], "annotations": [...], "categories": [...]}'
#: Below so many images it is no wonder that all annotations belong to one.
FEW_IMAGES = 10
NUMBER = (int, float)
#: Images whose size is looked at, and the share that may have another one.
SAMPLE, FEW_OTHERS = 32, 0.05
#: Compressed masks that are unpacked, spread over the file.
UNPACKED = 1000


@contextmanager
def parsed_files() -> Iterator[dict[str, Any]]:
    """What pycocotools parses in this time, by path, so that nothing is parsed twice.

    Its objects get the attribute ``annotation_file``, the path.
    """
    from pycocotools.coco import COCO

    files: dict[str, Any] = {}
    parse = COCO.__init__

    def parse_and_keep(self: COCO, annotation_file: str | None = None) -> None:
        try:
            parse(self, annotation_file)
        finally:
            self.annotation_file = annotation_file
            if annotation_file is not None and self.dataset:
                files[annotation_file] = self.dataset

    COCO.__init__ = parse_and_keep
    try:
        yield files
    finally:
        COCO.__init__ = parse


def read_file(path: str) -> dict:
    """Parse an annotation file as strictly as pycocotools does.

    Raises:
        ValueError: It is not a JSON object in UTF-8 without a byte order mark.
    """
    data = Path(path).read_bytes()
    if data.startswith((b'\xef\xbb\xbf', b'\xff\xfe', b'\xfe\xff')):
        raise ValueError(f'{path!r} begins with a byte order mark; save it as UTF-8 without one')
    try:
        content = json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f'{path!r} is not in UTF-8 ({error}); save it as UTF-8') from None
    except json.JSONDecodeError as error:
        what = 'ends too early' if error.pos >= len(data.rstrip()) - 1 else 'is damaged'
        raise ValueError(f'{path!r} is not JSON, or {what}: {error}; get it again') from None
    if not isinstance(content, dict):
        hint = ''
        if isinstance(content, list):
            hint = ', as the results of a detector are'
        raise ValueError(f'{path!r} holds a {type(content).__name__}{hint}, in place of {FORMAT}')
    return content


def check_names(path: str, content: dict) -> None:
    """Raise ValueError unless a file names its images and categories as COCO does."""
    images = _records(path, content, 'images', ('file_name',))
    categories = _records(path, content, 'categories', ('name',))
    for key, records, name in (('images', images, 'file_name'), ('categories', categories, 'name')):
        _refuse(
            path,
            key,
            records,
            lambda record: not (isinstance(record[name], str) and record[name]),  # noqa: B023
            f'have a {name!r} that is no word',
        )


def check_content(
    path: str,
    content: dict,
    classes: Sequence[str],
    folder: str | None = None,
    masks: bool = False,
    training: bool = False,
    scored: bool = False,
    ordered: bool = True,
) -> None:
    """Hold the content of an annotation file against its images, the classes and its use.

    Args:
        path: Of the file, for messages.
        content: What it holds.
        classes: Names of the data set's classes, in the order of their labels.
        folder: Where the images lie; None where they are not looked for.
        masks: Whether each object needs a mask.
        training: Whether objects are learnt from it.
        scored: Whether pycocotools scores predictions with it.
        ordered: Whether mmdet's own ``CocoDataset`` reads it, whose labels follow the order of the
            categories.

    Raises:
        FileNotFoundError: Images are not in the folder.
        ValueError: The file is not in COCO's format, or cannot be used in this way; the message
            names the file and what to do.
    """
    # LVIS gives addresses in place of file names.
    images = _records(path, content, 'images', ('id', 'file_name') if ordered else ('id',))
    categories = _records(path, content, 'categories', ('id', 'name'))
    _check_ids(path, 'images', images)
    _check_ids(path, 'categories', categories)
    if folder is not None and '://' not in folder:
        check_images(path, images, folder)
    panoptic = 'segments_info' in next(iter(content.get('annotations') or [{}]))
    check_categories(path, categories, classes, ordered and not panoptic)
    if 'annotations' not in content and not training and not scored:
        return
    annotations = _records(path, content, 'annotations', ('image_id',))
    if not annotations and (training or scored):
        raise ValueError(
            f"{path!r} has no annotations, and {len(images)} images; set the data set's ann_file "
            'to one with objects'
        )
    if annotations and not panoptic:
        _check_annotations(path, images, categories, annotations, masks, scored)


def check_images(path: str, images: list[dict], folder: str) -> None:
    """Raise FileNotFoundError unless all images of a file are in their folder."""
    paths = [os.path.join(folder, image['file_name']) for image in images if 'file_name' in image]
    missing, _ = missing_files(paths)
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of the {len(paths)} images of {path!r} do not exist '
            f'({shown(missing)}); put them there, or set data_root or data_prefix'
        )


def check_sizes(
    path: str, images: list[dict], folder: str, load: Callable[[dict], dict | None]
) -> None:
    """Hold the sizes of some images against those that a file says; boxes are of the latter.

    Args:
        path: Of the annotation file, for messages.
        images: Its records, with ``width`` and ``height``.
        folder: Where they lie.
        load: The step of a pipeline that loads an image.

    Raises:
        ValueError: More than a few have another size.
    """
    some = images[:: -(-len(images) // SAMPLE)]
    other = []
    for image in some:
        try:
            loaded = load(dict(img_path=os.path.join(folder, image['file_name'])))
        except Exception:  # each decoder has its own; training counts these files
            continue
        if loaded is None:  # a loader that passes over such files
            continue
        height, width = loaded['img'].shape[:2]
        if (width, height) != (image['width'], image['height']):
            other.append((image, width, height))
    if not other:
        return
    image, width, height = other[0]
    text = (
        f'{path!r}: {len(other)} of {len(some)} images that were looked at have another size than '
        f'it says, such as {image["file_name"]!r}: {image["width"]} x {image["height"]} there, '
        f'{width} x {height} as it is loaded'
    )
    if len(other) <= FEW_OTHERS * len(some):
        print_log(text, 'current', level=logging.WARNING)
        return
    if (height, width) == (image['width'], image['height']):
        fix = (
            'its EXIF turns it, and the boxes are of the image as it lies; save the images turned '
            "as the boxes are, or load them with color_type='color_ignore_orientation'"
        )
    else:
        fix = 'the boxes are of images of those sizes; use these, or scale the boxes'
    raise ValueError(f'{text}; {fix}')


def check_categories(
    path: str, categories: list[dict], classes: Sequence[str], ordered: bool = True
) -> None:
    """Hold the categories of a file against the classes.

    mmdet numbers the classes in the order of the file's categories, whatever their order in
    ``metainfo``.

    Raises:
        ValueError: Classes are missing, are there twice, or are in another order.
    """
    names = [category['name'] for category in categories]
    absent = [name for name in classes if name not in names]
    if absent:
        raise ValueError(
            f'the dataset has {len(classes)} classes, and {len(absent)} of them ({shown(absent)}) '
            f'are not among the {len(names)} categories ({shown(names)}) of {path!r}; add them to '
            'the file, as categories without objects, or, where no file has them, name those of '
            "the file in every dataset's metainfo=dict(classes=(...)), and set num_classes of the "
            'heads to their number'
        )
    used = [name for name in names if name in classes]
    twice = [name for name, count in Counter(used).items() if count > 1]
    if twice:
        raise ValueError(
            f'{path!r} has several categories of one name ({shown(twice)}); make them one, or give '
            'them other names'
        )
    others = Counter(name for name in names if name not in classes)
    if others:
        print_log(
            f'{path!r}: {len(others)} of {len(names)} categories ({shown(list(others))}) are none '
            f'of the {len(classes)} classes ({shown(classes)}), and their objects are left out',
            'current',
            level=logging.WARNING,
        )
    if ordered and used != list(classes):
        raise ValueError(
            f'{path!r} has the classes in another order ({shown(used)}) than the dataset '
            f'({shown(classes)}), and labels follow the file; use its order in the '
            "dataset's metainfo=dict(classes=(...)), and one order in all files"
        )


def _records(path: str, content: dict, key: str, needed: tuple[str, ...]) -> list[dict]:
    records = content.get(key)
    if not isinstance(records, list):
        found = 'nothing' if key not in content else f'a {type(records).__name__}'
        raise ValueError(
            f"{path!r} is not in COCO's format, or damaged: {key!r} is to be a list, found "
            f'{found}; the format is {FORMAT}'
        )
    wrong = [record for record in records if not isinstance(record, dict)]
    if wrong:
        raise ValueError(
            f"{path!r} is not in COCO's format, or damaged: {len(wrong)} of {len(records)} "
            f'{key} are no objects ({wrong[0]!r})'
        )
    for name in needed:
        _refuse(path, key, records, lambda record: name not in record, f'have no {name!r}')  # noqa: B023
    return records


def _check_ids(path: str, key: str, records: list[dict]) -> None:
    _refuse(
        path,
        key,
        records,
        lambda record: not isinstance(record['id'], NUMBER),
        'have an \'id\' that is no number; write 12 and not "12"',
    )
    if len({record['id'] for record in records}) < len(records):
        counts = Counter(record['id'] for record in records)
        twice = [id for id, count in counts.items() if count > 1]
        raise ValueError(
            f'{path!r}: {len(twice)} ids of {key} are not unique ({shown(twice)}); give each of '
            f'the {len(records)} {key} an id of its own'
        )


def _refuse(
    path: str, key: str, records: list[dict], wrong: Callable[[dict], bool], text: str
) -> None:
    """Raise ValueError where some of the records are wrong; the message shows one of them."""
    found = [record for record in records if wrong(record)]
    if found:
        example = json.dumps(found[0])
        example = example[:100] + ('...' if len(example) > 100 else '')
        raise ValueError(
            f'{path!r}: {len(found)} of {len(records)} {key} {text}; such as {example}'
        )


def _check_annotations(
    path: str,
    images: list[dict],
    categories: list[dict],
    annotations: list[dict],
    masks: bool,
    scored: bool,
) -> None:
    def refuse(wrong: Callable[[dict], bool], text: str) -> None:
        _refuse(path, 'annotations', annotations, wrong, text)

    def note(count: int, text: str) -> None:
        if count:
            text = f'{path!r}: {count} of {len(annotations)} annotations {text}'
            print_log(text, 'current', level=logging.WARNING)

    refuse(lambda a: 'id' not in a, "have no 'id'")
    _check_ids(path, 'annotations', annotations)
    # mmdet reads these, whatever the loss needs.
    refuse(lambda a: 'bbox' not in a, "have no 'bbox': [x, y, width, height] in pixels")
    refuse(lambda a: not _is_box(a['bbox']), "have a 'bbox' that is not [x, y, width, height]")
    refuse(lambda a: not _is_number(a.get('area')), "have no 'area', of the object in pixels")
    _refuse(
        path,
        'images',
        images,
        lambda image: not all(_is_number(image.get(key)) for key in ('width', 'height')),
        "have no 'width' or 'height' in pixels",
    )
    if scored:
        refuse(lambda a: 'iscrowd' not in a, "have no 'iscrowd', which scoring needs: 0 or 1")

    names = {category['id'] for category in categories}
    refuse(
        lambda a: a.get('category_id') not in names,
        f"have a 'category_id' that is none of the categories ({shown(sorted(names))})",
    )
    sizes = {image['id']: (image['width'], image['height']) for image in images}
    placed = [a for a in annotations if a['image_id'] in sizes]
    if not placed:
        refuse(
            lambda a: True,
            f"have an 'image_id' that is none of the images ({shown(list(map(repr, sizes)))}); "
            'one spelling of ids is needed, numbers',
        )
    note(len(annotations) - len(placed), 'belong to none of the images and are left out')
    if len(images) >= FEW_IMAGES and len({a['image_id'] for a in placed}) == 1 < len(placed):
        raise ValueError(
            f'{path!r}: all {len(placed)} annotations belong to one image, id '
            f"{placed[0]['image_id']}, of {len(images)}; set 'image_id' to the image of each"
        )
    usable = [a for a in placed if _is_usable(a, *sizes[a['image_id']])]
    if not usable:
        refuse(
            lambda a: True,
            'have a box without area in its image, and none is left; boxes are '
            '[x, y, width, height] in pixels',
        )
    objects = [a for a in usable if not a.get('iscrowd')]
    if not objects:
        refuse(
            lambda a: True,
            "are crowds ('iscrowd': 1) or without a box, which nothing is learnt from or scored "
            "on; set 'iscrowd' to 0 for single objects",
        )
    note(len(placed) - len(usable), 'have a box without area in their image and are left out')
    beyond = sum(_reaches_beyond(a['bbox'], *sizes[a['image_id']]) for a in usable)
    if 2 * beyond > len(usable) and len(usable) > 1:
        raise ValueError(
            f'{path!r}: {beyond} of {len(usable)} boxes reach beyond their image; a bbox is '
            "[x, y, width, height] in pixels and not [x1, y1, x2, y2], and an image's 'width' and "
            "'height' are those of its file"
        )
    if masks:
        _check_masks(path, usable, sizes, scored, note)


def _check_masks(
    path: str,
    annotations: list[dict],
    sizes: dict[Any, tuple[float, float]],
    scored: bool,
    note: Callable[[int, str], None],
) -> None:
    bare = [a for a in annotations if not a.get('segmentation')]
    without = (
        'use a detector without masks and a pipeline without with_mask=True (and '
        "metric='bbox' in the evaluators)"
    )
    if bare:
        raise ValueError(
            f"{path!r}: {len(bare)} of {len(annotations)} annotations have no 'segmentation' "
            f'(id {shown([a["id"] for a in bare])}), and the model learns or is scored on masks; '
            f'add them, or {without}'
        )
    kinds = [_is_mask(a['segmentation'], *sizes[a['image_id']]) for a in annotations]
    foreign = [a for a, kind in zip(annotations, kinds, strict=True) if kind is None]
    some = annotations[:: -(-len(annotations) // UNPACKED)]
    foreign = foreign or [a for a in some if not _is_whole(a['segmentation'])]
    if foreign or not any(kinds):
        example = json.dumps((foreign or annotations)[0]['segmentation'])[:60]
        raise ValueError(
            f'{path!r}: {len(foreign) or len(annotations)} of {len(annotations)} annotations have '
            f"a 'segmentation' that pycocotools cannot read, such as {example}; it is a list of "
            'polygons, [[x1, y1, x2, y2, x3, y3, ...], ...], or a mask {"size": [height, width], '
            '"counts": ...} of as many pixels as its image; '
            f'correct them, or {without}'
        )
    thin = [a for a, kind in zip(annotations, kinds, strict=True) if not kind]
    if thin and scored:
        raise ValueError(
            f'{path!r}: {len(thin)} of {len(annotations)} annotations have no polygon of three '
            f'points or more (id {shown([a["id"] for a in thin])}), which pycocotools cannot score '
            f'on; correct or remove them, or {without}'
        )
    note(len(thin), 'have no polygon of three points or more and are ignored')


def _is_mask(mask: Any, width: float, height: float) -> bool | None:
    """Whether pycocotools reads it; False where mmdet passes over it; None if neither."""
    if isinstance(mask, dict):
        counts, size = mask.get('counts'), mask.get('size')
        if size != [height, width]:
            return None
        if isinstance(counts, list):
            runs = all(isinstance(count, int) and count >= 0 for count in counts)
            return True if runs and sum(counts) == height * width else None
        return True if isinstance(counts, str) else None
    if not isinstance(mask, list) or not all(isinstance(part, list) for part in mask):
        return None
    # The first numbers speak for the others: a large file has tens of millions.
    if not all(_is_number(part[0]) for part in mask if part):
        return None
    return any(len(part) >= 6 and len(part) % 2 == 0 for part in mask)


def _is_whole(mask: Any) -> bool:
    """Whether a mask, if it is a compressed one, is of as many pixels as it says.

    pycocotools reads beyond the end of one that is cut off, and draws what it finds there.
    """
    if not isinstance(mask, dict) or isinstance(mask['counts'], list):
        return True
    runs = _unpacked(mask['counts'])
    return min(runs, default=-1) >= 0 and sum(runs) == math.prod(mask['size'])


def _unpacked(counts: str) -> list[int]:
    """The runs of a compressed mask, none where it is damaged, as pycocotools packs them.

    Each character has 5 bits of a number, low ones first, and a sixth that says whether more
    follow. The fifth of the last one is the sign. From the fourth run on it is the difference to
    the run before the last one.
    """
    runs: list[int] = []
    number = place = 0
    for character in counts:
        bits = ord(character) - ord('0')
        if not 0 <= bits < 64:
            return []
        number |= (bits & 31) << place
        place += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << place
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = place = 0
    return [] if place else runs


def _is_number(x: Any) -> bool:
    return isinstance(x, NUMBER) and math.isfinite(x)


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _is_usable(annotation: dict, width: float, height: float) -> bool:
    """Whether mmdet keeps it."""
    x, y, w, h = annotation['bbox']
    across, down = min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
    return w >= 1 and h >= 1 and annotation['area'] > 0 and across > 0 and down > 0


def _reaches_beyond(box: list, width: float, height: float) -> bool:
    return box[0] + box[2] > width + 2 or box[1] + box[3] > height + 2
