"""The short version of `tests.faults.images`."""

import pytest

from .image_kinds import SKIPPED, make_folder
from .images import (
    good_folder,
    listed_in,
    look_at_a_resumed_run,
    look_at_a_vanishing_file,
    look_at_damage,
    look_at_kinds,
    look_at_runs,
    look_at_too_many,
    memory_of_a_bomb,
    run,
)


def test_every_kind(tmp_path):
    assert look_at_kinds(tmp_path, make_folder(tmp_path)) == {}


def test_random_damage(tmp_path):
    counts, faults = look_at_damage(tmp_path, 200, seed=1)
    assert faults == [] and counts['bad'] + counts['images'] == 400 and min(counts.values()) > 50


def test_memory_of_a_bomb(tmp_path):
    """In this process, whose peak may be above its present size."""
    assert memory_of_a_bomb(tmp_path) < 50


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, None])
def test_a_run_goes_on_without_the_bad_ones(tmp_path, seed):
    folder = good_folder(tmp_path / 'images', 16, bad=2)
    done = run(folder, tmp_path / 'run', seed=seed)
    assert done.returncode == 0 and 'bad files: 2 of about 16 tried (2 new)' in done.stdout
    assert listed_in(tmp_path / 'run', folder).keys() == {'000.jpg', '001.jpg'}


@pytest.mark.slow
def test_runs(tmp_path):
    kinds = make_folder(tmp_path / 'kinds')
    assert sum(kind.fate == SKIPPED for kind in kinds) > 20
    faults = look_at_runs(tmp_path / 'kinds', kinds, tmp_path)
    assert not any(faults.values())
    assert look_at_a_resumed_run(tmp_path) == []
    assert look_at_a_vanishing_file(tmp_path) == look_at_too_many(tmp_path) == []
