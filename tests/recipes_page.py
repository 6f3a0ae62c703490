"""Write docs/recipes.md: every recipe beside its source.

python -m tests.recipes_page
"""

from collections import Counter
from itertools import groupby
from typing import Any

from .recipes import ABSENT, ROOT, Recipe, differences, ours, reason
from .recipes_table import HOW_SAID, RECIPES

PAGE = ROOT / 'docs/recipes.md'
HEAD = """# Recipes beside their sources

Written by `python -m tests.recipes_page` from what the configs, the libraries' own configs and the
published numbers in `tests/recipes_published.py` say. `tests/test_recipes.py` fails where a config
differs from its source without a reason in `tests/recipes_table.py`, and where this page is not the
written one.

- `optimizer.not_decayed`: kinds of the encoder's parameters that weight decay leaves out.
- `schedule.cosine.lowest`: the learning rate of the head at the end; `lowest_decays`: whether
  earlier layers end lower.
- `start.*`: the standard deviation of a tensor before the first step, measured; the same is what is
  within 12 %.
- A dash: not said.
"""


def page() -> str:
    """The text of docs/recipes.md."""
    parts = [HEAD]
    for config, recipes in groupby(RECIPES, key=lambda recipe: recipe.config):
        parts.append(f'\n## configs/{config}.py\n')
        parts += map(_section, recipes)
    return ''.join(parts)


def _section(recipe: Recipe) -> str:
    mine, theirs = ours(recipe.config), recipe.theirs
    different = {difference.name: difference for difference in differences(mine, theirs)}
    same = sorted(mine.keys() - different.keys())
    lines = [f'\nBeside {recipe.source}:']
    if recipe.source.startswith('our '):
        if not different:
            return f'{lines[0]} the same.\n'
        same = []
    elif not recipe.config.startswith(('pretrain', 'cls')):
        # A detector's or segmentor's model has a hundred settings.
        model = [name for name in same if name.startswith('model.')]
        same = [name for name in same if name not in model]
        lines[0] += f' {len(model)} settings of the model are the same.'
    lines += ['', '| setting | here | there | why |', '| --- | --- | --- | --- |']
    unsaid = Counter()
    for difference in different.values():
        why = reason(difference, recipe.allowed)
        exact = difference.name in recipe.allowed
        if not exact and (why == HOW_SAID or recipe.config.startswith(('det', 'seg'))):
            unsaid[why] += 1
            continue
        name, *values = difference
        # Of what is measured, as many digits as no draw changes.
        digits = 1 if name.startswith('start.') else 4
        here, there = (_text(value, digits) for value in values)
        lines.append(f'| {name} | {here} | {there} | {why} |')
    lines += [
        f'| {count} that one side does not say | | | {why} |' for why, count in unsaid.items()
    ]
    lines += [f'| {name} | {_text(theirs[name])} | {_text(theirs[name])} | |' for name in same]
    return '\n'.join(lines) + '\n'


def _text(value: Any, digits: int = 4) -> str:
    if isinstance(value, tuple):
        return ', '.join(map(_text, value)) or 'none'
    if isinstance(value, float):
        return f'{value:.{digits}g}'
    return '—' if value == ABSENT else str(value)


if __name__ == '__main__':
    PAGE.write_text(page())
    print(f'wrote {PAGE.relative_to(ROOT)}')
