"""For the site: links to files of the repository that are no pages become their names."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def on_page_markdown(markdown: str, page, **kwargs) -> str:
    """What mkdocs calls with the text of each page."""

    def name(link: re.Match) -> str:
        text, target = link[1], link[2].split('#')[0]
        if not (ROOT / 'docs' / target).exists():
            raise FileNotFoundError(f'{page.file.src_path}: no file {target}')
        return f'`{text}`'

    outside = r'(?:\.\./[^)]*|results/study)'
    return re.sub(rf'(?<!!)\[`?([^\]`]*)`?\]\(({outside})\)', name, markdown)
