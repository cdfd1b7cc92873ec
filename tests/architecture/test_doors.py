"""Doors find rows through `visible_to(actor)`, call an operation and answer; they write nothing themselves."""

import ast

from tests.architecture.source import Module, modules

# These answer before anybody is known, or about the connection itself; each says why in its docstring.
WITHOUT_ACTOR = (
    "portal/accounts/",  # sign-in looks people up by what they typed and by their own session
    "portal/models.py",  # its own rows: the idempotency records of a caller, found by that caller's identity
    "portal/verify/",  # a service asks about the text of a key, through one operation
)
WRITES = {
    "save",
    "create",
    "update",
    "delete",
    "bulk_create",
    "bulk_update",
    "get_or_create",
    "update_or_create",
    "select_for_update",
}


def _unguarded_reads(module: Module) -> list[int]:
    """Lines with `Model.objects` (or `_default_manager`) that is not followed at once by `.visible_to(`."""
    guarded, found = set(), []
    for node in module.nodes(ast.Attribute):
        if node.attr == "visible_to":
            guarded.add(id(node.value))
    for node in module.nodes(ast.Attribute):
        if node.attr in {"objects", "_default_manager", "_base_manager"} and id(node) not in guarded:
            found.append(node.lineno)
    return sorted(found)


def _writes(module: Module) -> list[int]:
    """Lines that call a write on `Model.objects...` or on a queryset made by visible_to."""
    found = []
    for call in module.nodes(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in WRITES and _starts_at_rows(call.func.value):
            found.append(call.lineno)
    return sorted(found)


def _starts_at_rows(node: ast.AST) -> bool:
    while True:
        if isinstance(node, ast.Attribute):
            if node.attr == "objects":
                return True
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return False


def _doors(rule):
    """Return the doors in which `rule` finds something, with the lines."""
    return {module.name: lines for module in modules() if module.name.startswith("portal/") and (lines := rule(module))}


def test_doors_reach_rows_only_through_visible_to():
    found = {name: lines for name, lines in _doors(_unguarded_reads).items() if not name.startswith(WITHOUT_ACTOR)}
    assert found == {}, "rows are reached without asking who asks"


def test_doors_write_nothing_themselves():
    assert _doors(_writes) == {}, "rows are written by a door; call an operation of keys/"


def test_the_net_finds_a_planted_unguarded_read_and_a_planted_write(tmp_path):
    text = "ManagedKey.objects.all()\nManagedKey.objects.visible_to(actor).update(name='x')"
    planted = Module(tmp_path, text)
    assert _unguarded_reads(planted) == [1]
    assert _writes(planted) == [2]
