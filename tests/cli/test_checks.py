"""The look at what the arguments name."""

import pytest

from wamim_mm.cli.checks import check_checkpoint, check_data, find_images, read_config


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config 'nowhere\.py' does not exist"):
        read_config('nowhere.py')
    with pytest.raises(FileNotFoundError, match=r"checkpoint 'nowhere\.pth' does not exist"):
        check_checkpoint('nowhere.pth')
    check_checkpoint('s3://bucket/a.pth')


def test_find_images(tmp_path):
    (tmp_path / 'b').mkdir()
    wanted = [tmp_path / 'a.PNG', tmp_path / 'b' / 'c.jpeg']
    for path in [*wanted, tmp_path / 'notes.txt']:
        path.touch()
    assert find_images(tmp_path) == wanted
    assert find_images(wanted[0]) == wanted[:1]
    with pytest.raises(FileNotFoundError, match=r"no image at '.*nothing'.*\.jpg"):
        find_images(tmp_path / 'nothing')


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
