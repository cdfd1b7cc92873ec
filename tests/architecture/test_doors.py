"""Doors find rows through `visible_to(actor)`, call an operation and answer; they write nothing themselves."""

import ast

import pytest

from tests.architecture.source import Module, modules

# These answer before anybody is known, or about the connection itself; each says why in its docstring.
WITHOUT_ACTOR = (
    "portal/accounts/",  # sign-in looks people up by what they typed and by their own session
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
DOORS = [module for module in modules() if module.name.startswith("portal/")]


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


@pytest.mark.parametrize("module", DOORS, ids=lambda module: module.name)
def test_doors_reach_rows_only_through_visible_to(module):
    if module.name.startswith(WITHOUT_ACTOR):
        return
    assert _unguarded_reads(module) == [], f"{module.name} reaches rows without asking who asks"


@pytest.mark.parametrize("module", DOORS, ids=lambda module: module.name)
def test_doors_write_nothing_themselves(module):
    assert _writes(module) == [], f"{module.name} writes rows; call an operation of keys/"


def test_the_net_finds_a_planted_unguarded_read_and_a_planted_write(tmp_path):
    text = "ManagedKey.objects.all()\nManagedKey.objects.visible_to(actor).update(name='x')"
    planted = Module(tmp_path, ast.parse(text), text)
    assert _unguarded_reads(planted) == [1]
    assert _writes(planted) == [2]
