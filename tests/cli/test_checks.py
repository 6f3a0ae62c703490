"""The look at what the arguments name."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.datasets import CustomDataset

from wamim_mm.cli.checks import (
    SUFFIXES,
    check_data,
    count_images,
    find_images,
    image_names,
    read_config,
    use_image_folder,
)
from wamim_mm.evaluation.pictures import PicturesHook


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config 'nowhere\.py' does not exist"):
        read_config('nowhere.py')


@pytest.mark.parametrize(
    ('name', 'scope'),
    [
        ('mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py', 'mmdet'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain'),
        ('mmseg::upernet/upernet_r50_4xb2-40k_cityscapes-512x1024.py', 'mmseg'),
    ],
)
def test_configs_of_installed_libraries(name, scope):
    """The files that MMEngine finds for ``_base_``."""
    library = pytest.importorskip(scope)
    home = Path(library.__file__).parent / '.mim' / 'configs'
    cfg = read_config(name)
    assert cfg.default_scope == scope and Path(cfg.filename).samefile(home / name.split('::')[1])
    expected = Config.fromfile(home / name.split('::')[1])
    assert cfg.to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ('name', 'error', 'message'),
    [
        (
            'mmpretrain::swin/resnet18_8xb32_in1k.py',
            FileNotFoundError,
            'the nearest in mmpretrain is mmpretrain::resnet/resnet18_8xb32_in1k.py',
        ),
        ('mmnope::a/b.py', ImportError, r"no library 'mmnope' with configs .*mmdet or mmseg"),
        ('torch::a/b.py', ImportError, "no library 'torch' with configs"),
        ('a b::c.py', ImportError, "no library 'a b' with configs"),
        ('::c.py', ImportError, "no library '' with configs"),
    ],
)
def test_configs_that_no_library_has(name, error, message):
    with pytest.raises(error, match=message):
        read_config(name)


def test_find_images(tmp_path):
    (tmp_path / 'b').mkdir()
    wanted = [tmp_path / 'a.PNG', tmp_path / 'b' / 'c.jpeg']
    for path in [*wanted, tmp_path / 'notes.txt']:
        path.touch()
    assert find_images(tmp_path) == wanted
    assert find_images(wanted[0]) == wanted[:1]
    with pytest.raises(FileNotFoundError, match=r"no image at '.*nothing'.*\.jpg"):
        find_images(tmp_path / 'nothing')


def folder_of(root, **changes):
    return dict(type='CustomDataset', data_root=str(root), with_label=False) | changes


def line_of(dataset):
    """The line on the screen."""
    count, line = count_images(use_image_folder(dataset), dataset['extensions'])
    assert line.startswith(f'{count} images in ')
    return line


LAZY = """
from mmpretrain.datasets import CustomDataset
dataset = dict(type=CustomDataset, data_root='{}', with_label=False)
"""


class OwnDataset(CustomDataset):
    """A user's, which keeps mmpretrain's folders."""


def test_a_folder_of_images_by_any_name(tmp_path):
    fill(tmp_path, 'a.jpg', 'lazy.py')
    (tmp_path / 'lazy.py').write_text(LAZY.format(tmp_path))
    lazy = Config.fromfile(tmp_path / 'lazy.py').dataset
    kinds = ['mmpretrain.CustomDataset', 'mmpretrain.datasets.CustomDataset', CustomDataset]
    for dataset in (lazy, *(folder_of(tmp_path, type=kind) for kind in [*kinds, OwnDataset])):
        assert line_of(dataset).startswith('1 images')
    assert not isinstance(dict.get(lazy, 'type'), type)  # still to be written as a name
    with pytest.raises(ValueError, match='no class of this name'):
        use_image_folder(folder_of(tmp_path, type='CustomDatset'), dict(default_scope='mmpretrain'))


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_any_folder_of_images(tmp_path):
    """Flat, in sub-folders, or in DIR/train; all suffixes that are read; the rest is counted."""
    for root, names, prefix in (
        ('flat', ['a.jpg', 'b.WEBP', 'c.tif', 'notes.txt', 'Makefile'], ''),
        ('deep', ['x/a.jpg', 'x/y/b.webp', 'c.tif', 'x/notes.txt', 'x/Makefile'], ''),
        ('split', [f'train/{n}' for n in ('a.jpg', 'b.webp', 'c.tif', 'n.txt', 'M')], 'train'),
    ):
        fill(tmp_path / root, *names)
        dataset = folder_of(tmp_path / root, data_prefix='train')
        said = line_of(dataset)
        assert dataset['data_prefix'] == prefix
        assert said.startswith(f'3 images in {tmp_path / root / prefix}'.rstrip('/'))
        for part in ('1 .jpg', '1 .webp', '1 .tif', 'passed over', '1 .txt', '1 no suffix'):
            assert part in said
        check_data(dataset)


def test_the_data_set_finds_what_was_counted(tmp_path):
    from mmpretrain.datasets import CustomDataset

    fill(tmp_path, *[f'{i}{suffix}' for i, suffix in enumerate(SUFFIXES)], 'x/a.WebP', 'b.svg')
    dataset = folder_of(tmp_path, data_prefix='train')
    assert line_of(dataset).startswith(f'{len(SUFFIXES) + 1} images')
    dataset.pop('type')
    assert len(CustomDataset(pipeline=[], **dataset)) == len(SUFFIXES) + 1


def test_links_may_lead_up(tmp_path):
    fill(tmp_path, 'x/a.jpg')
    (tmp_path / 'x' / 'up').symlink_to(tmp_path)
    assert line_of(folder_of(tmp_path)).startswith('1 images')


def test_linked_folders_are_followed_by_all(tmp_path):
    """What commands find is what a training run finds."""
    fill(tmp_path / 'elsewhere', 'a.jpg', 'deep/b.jpg')
    fill(tmp_path / 'images', 'c.jpg')
    (tmp_path / 'images/link').symlink_to(tmp_path / 'elsewhere')
    root = tmp_path / 'images'
    assert line_of(folder_of(root)).startswith('3 images')
    found = find_images(root)
    assert image_names(found, root) == ['c.jpg', 'link/a.jpg', 'link/deep/b.jpg']
    assert PicturesHook(str(root))._paths() == found


def test_odd_entries_of_a_folder(tmp_path):
    """What is counted is what mmpretrain finds."""
    fill(tmp_path, 'a.jpg', '._a.jpg', 'x.jpg/b.JPG', 'c d.jpeg', 'Thumbs.db', '.DS_Store')
    (tmp_path / 'broken.jpg').symlink_to('nowhere')
    (tmp_path / 'self.jpg').symlink_to('self.jpg')
    (tmp_path / 'x.jpg' / 'up').symlink_to(tmp_path)
    dataset = folder_of(tmp_path)
    line = line_of(dataset)
    assert line.endswith('(2 .jpg, 1 .jpeg); passed over 2 broken links, 1 .db')
    dataset.pop('type')
    paths = [
        sample['img_path'] for sample in CustomDataset(pipeline=[], **dataset).load_data_list()
    ]
    expected = [str(tmp_path / name) for name in ('a.jpg', 'c d.jpeg', 'x.jpg/b.JPG')]
    assert paths == expected
    assert [str(path) for path in find_images(tmp_path)] == expected


def test_class_folders_take_all_suffixes(tmp_path):
    """As pre-training and inference do; mmpretrain itself passes over .webp and .tiff."""
    from mmpretrain.datasets import CustomDataset

    fill(tmp_path, *[f'{name}/{i}{s}' for name in 'ab' for i, s in enumerate(SUFFIXES)])
    dataset = folder_of(tmp_path, with_label=True)
    assert line_of(dataset).startswith(f'{2 * len(SUFFIXES)} images')
    dataset.pop('type')
    built = CustomDataset(pipeline=[], **dataset)
    assert len(built) == 2 * len(SUFFIXES) and built.CLASSES == ('a', 'b')
    # A split that is not there is not looked for elsewhere: the labels would be others.
    assert use_image_folder(folder_of(tmp_path, with_label=True, data_prefix='train')) is None


def test_other_data_sets_are_left_alone(tmp_path):
    for changes in (
        dict(type='ImageNet'),
        dict(ann_file='list.txt'),
        dict(data_root='s3://bucket'),
        dict(data_root=str(tmp_path / 'nowhere')),
    ):
        dataset = folder_of(tmp_path, **changes)
        assert use_image_folder(dict(dataset)) is None
    with pytest.raises(FileNotFoundError, match=r'no image in .*, found 1 \.txt; .*\.jpg'):
        fill(tmp_path, 'notes.txt')
        line_of(folder_of(tmp_path))


def test_check_data(tmp_path):
    (tmp_path / 'train').mkdir()
    data = dict(data_root=str(tmp_path), data_prefix='train')
    with pytest.raises(FileNotFoundError, match=r"train' is empty.*data_root=DIR"):
        check_data(data)
    (tmp_path / 'train' / 'a.jpg').touch()
    check_data(data)
    check_data(dict(data_root='s3://bucket', data_prefix='train'))
    for broken, message in [
        (dict(data_root=str(tmp_path / 'no')), "data root .*no' does not exist"),
        (dict(data, data_prefix='val'), "val' does not exist"),
        (dict(data, data_prefix=dict(img='train', seg='labels')), "labels' does not exist"),
        (dict(data, ann_file='a.json'), "annotation file .*a.json' does not exist"),
        (dict(dataset=dict(data_root='nowhere')), "'nowhere' does not exist"),
        (dict(datasets=[data, dict(data_root='nowhere')]), "'nowhere' does not exist"),
    ]:
        with pytest.raises(FileNotFoundError, match=message):
            check_data(broken)
