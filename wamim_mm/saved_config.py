"""The config that a checkpoint of a run holds (meta.cfg), read as data and never executed."""

import ast
from typing import Any

__all__ = ['backbone_config']


def backbone_config(config: str) -> tuple[str | None, dict[str, Any]]:
    """The scope of ``model.backbone`` and its config.

    `Config.fromstring` would run the text as a program, and a checkpoint may come from anybody. So
    only literals and ``dict(...)`` are read here; MMEngine writes nothing else. (A hook that stored
    plain data in checkpoints would be as long, and would not help with checkpoints of others or of
    earlier runs.)

    Args:
        config: The text of a config, as MMEngine writes it.

    Raises:
        SyntaxError, ValueError: It is not such a text, or has no ``model.backbone``.
    """
    assigned = {
        statement.targets[0].id: statement.value
        for statement in ast.parse(config).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    parts = {part.arg: part.value for part in getattr(assigned.get('model'), 'keywords', [])}
    if 'backbone' not in parts:
        raise ValueError('it has no model.backbone')
    args = _literal(parts['backbone'])
    scope = args.pop('_scope_', _literal(assigned.get('default_scope', ast.Constant(None))))
    return scope, args


class _DictCalls(ast.NodeTransformer):
    """``dict(a=1)`` becomes ``{'a': 1}``, and a class, ``module.Name``, its name."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != 'dict' or node.args:
            return node  # literal_eval refuses it
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        name = ast.unparse(node)
        return ast.Constant(name) if all(map(str.isidentifier, name.split('.'))) else node


def _literal(node: ast.expr) -> Any:
    return ast.literal_eval(_DictCalls().visit(node))
