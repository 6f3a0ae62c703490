"""The config of a run that a checkpoint holds (meta.cfg), read as data and never as a program.

A checkpoint may come from anybody. `Config.fromstring` would run the text; Python's own parser,
``ast``, ends the process of Python 3.10 at expressions that are nested deeply enough. So the few
forms that MMEngine writes are read here, and no others. (A hook that stored plain data in
checkpoints would not help with those of others or of earlier runs.)
"""

import ast
import re
from collections.abc import Callable
from typing import Any

__all__ = ['backbone_config', 'parse_config', 'preprocessor_config']

#: Deeper than any config of the libraries, which reach ten.
DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*(?:\n\s*|\Z))*(?:
    (?P<string>[bBrRuU]{0,2}(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    |(?P<number>[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf|nan)(?!\w))
    |(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
    |(?P<mark>[()\[\]{},:=])
    |(?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_NAMES = {'True': True, 'False': False, 'None': None}


def parse_config(text: Any) -> dict[str, Any]:
    """What a config assigns, by name.

    Args:
        text: The text of a config, as MMEngine writes it: ``name = value``, and so on. A value is a
            literal of Python, ``dict(name=value)`` or ``dict({...})``; a class, ``module.Name``, is
            its name.

    Raises:
        ValueError: It is no such text; the message names the line.
    """
    if not isinstance(text, str):
        raise ValueError(f'it is no text, it is a {type(text).__name__}')
    return _Reader(text).config()


def backbone_config(text: Any) -> tuple[str | None, dict[str, Any]]:
    """The scope of ``model.backbone`` and its config.

    Args:
        text: As for `parse_config`.

    Raises:
        ValueError: It is no such text, or has no ``model.backbone`` with a ``type``.
    """
    config = parse_config(text)
    model = config.get('model')
    backbone = model.get('backbone') if isinstance(model, dict) else None
    if not isinstance(backbone, dict) or not isinstance(backbone.get('type'), str):
        raise ValueError('it has no model.backbone with a type')
    scope = backbone.pop('_scope_', config.get('default_scope'))
    if not isinstance(scope, str | None):
        raise ValueError(f'the scope of its model.backbone is no name, it is {scope!r}')
    return scope, backbone


def preprocessor_config(text: Any) -> dict[str, Any]:
    """The config of the data preprocessor: the model's or, where it has none, the run's.

    Args:
        text: As for `parse_config`, whose errors it raises.

    Returns:
        Empty where there is none.
    """
    config = parse_config(text)
    model = config.get('model')
    own = model.get('data_preprocessor') if isinstance(model, dict) else None
    found = own or config.get('data_preprocessor')
    return found if isinstance(found, dict) else {}


class _Reader:
    """Goes through the text once. ``kind`` and ``word`` are the next token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = self.depth = 0
        self.step()

    def step(self) -> str:
        """Go to the next token; return the one before."""
        before = getattr(self, 'word', '')
        found = _TOKEN.match(self.text, self.place)
        if found is None:
            self.word = self.text[self.place :].split(maxsplit=1)[0]
            raise self.refused()
        self.kind, self.word = str(found.lastgroup), found[found.lastgroup or 0]
        self.place = found.end()
        return before

    def refused(self) -> ValueError:
        line = self.text.count('\n', 0, self.place) + 1
        return ValueError(
            f'line {line} has {self.word[:40]!r}, where only literals and dict(name=value) are read'
        )

    def take(self, *words: str) -> bool:
        """Go on if the next token is one of these."""
        if self.kind in ('mark', 'name') and self.word in words:
            self.step()
            return True
        return False

    def need(self, word: str) -> None:
        if not self.take(word):
            raise self.refused()

    def name(self) -> str:
        if self.kind != 'name' or '.' in self.word:
            raise self.refused()
        return self.step()

    def config(self) -> dict[str, Any]:
        assigned = {}
        while self.kind != 'end':
            name = self.name()
            self.need('=')
            assigned[name] = self.value()
        return assigned

    def value(self) -> Any:
        if self.kind == 'number':
            return self.number()
        if self.kind == 'string':
            return self.string()
        if self.kind == 'name' and self.word != 'dict':
            return self.named()
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f'it is nested more than {DEEPEST} deep')
        if self.take('dict'):
            self.need('(')
            if self.word == '{':  # for names that are no identifiers
                result: Any = self.value()
                self.need(')')
            else:
                result = dict(self.items(')', self.keyword)[0])
        elif self.take('{'):
            result = dict(self.items('}', self.pair)[0])
        elif self.take('['):
            result = self.items(']', self.value)[0]
        else:
            self.need('(')
            values, ends_in_comma = self.items(')', self.value)
            result = values[0] if len(values) == 1 and not ends_in_comma else tuple(values)
        self.depth -= 1
        return result

    def number(self) -> int | float:
        try:
            found = (int if self.word.lstrip('-+').isdecimal() else float)(self.word)
        except ValueError:  # more digits than Python reads
            raise self.refused() from None
        self.step()
        return found

    def string(self) -> str | bytes:
        """One, or several one after another, which are one."""
        try:
            found = ast.literal_eval(self.word)
            self.step()
            while self.kind == 'string':
                found += ast.literal_eval(self.word)
                self.step()
        except (SyntaxError, TypeError, ValueError):
            raise self.refused() from None
        return found

    def named(self) -> bool | str | None:
        """A constant of Python, or the name of a class."""
        if self.word not in _NAMES and '.' not in self.word:
            raise self.refused()
        word = self.step()
        return _NAMES.get(word, word)

    def keyword(self) -> tuple[str, Any]:
        name = self.name()
        self.need('=')
        return name, self.value()

    def pair(self) -> tuple[Any, Any]:
        if self.kind == 'mark' or self.word == 'dict':
            raise self.refused()
        key = self.value()
        self.need(':')
        return key, self.value()

    def items(self, end: str, read: Callable[[], Any]) -> tuple[list, bool]:
        """What stands before the closing mark, and whether a comma is the last of it."""
        found: list[Any] = []
        comma = True
        while not self.take(end):
            if not comma:
                raise self.refused()
            found.append(read())
            comma = self.take(',')
        return found, comma and bool(found)
