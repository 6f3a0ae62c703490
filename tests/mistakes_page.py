"""Write docs/troubleshooting.md: mistakes, and what the commands say to them.

python -m tests.mistakes_page
"""

from .forked import ROOT
from .mistakes_table import TABLE

PAGE = ROOT / 'docs/troubleshooting.md'
HEAD = """# When a command refuses

A mistake ends in one line and exit code 2, most of them in half a second; `--debug` shows the
traceback behind it. After the first step of a run, a failure is none of these, and shows its
traceback by itself.

This page is written by `python -m tests.mistakes_page` from `tests/mistakes_table.py`.
`tests/tools/test_mistakes.py` makes each of these mistakes and compares the answer. DATA is a
folder of images, FILES one of odd files, RUN the options of a run that would work otherwise.
"""


def page() -> str:
    """The text of docs/troubleshooting.md."""
    parts = [HEAD]
    for topic, mistakes in TABLE.items():
        parts.append(f'\n## {topic}\n')
        last = None
        for what, command, answer, _ in mistakes:
            if what != last:
                parts.append(f'\n**{what[0].upper()}{what[1:]}.**\n')
            script, _, arguments = command.partition(' ')
            parts.append(
                f'\n```\n$ python tools/{_shown(f"{script}.py {arguments}")}\n'
                f'{_shown(f"{script}.py: {answer}")}\n```\n'
            )
            last = what
    return ''.join(parts)


def _shown(text: str) -> str:
    return text.format(data='DATA', few='DATA', run='RUN', files='FILES')


if __name__ == '__main__':
    PAGE.write_text(page())
    print(f'wrote {PAGE.relative_to(ROOT)}')
