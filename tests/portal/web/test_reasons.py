"""Every code that an operation can refuse with has words."""

import ast
from collections.abc import Iterator

import pytest
from django import forms

from keys.errors import Invalid
from keys.words import SENTENCES, sentence_for
from portal.web.reasons import mark
from tests.architecture.source import Module, modules

REFUSALS = {"Deny", "Denied", "Conflict", "Gone", "Refusal", "Refused"}


def codes_in(module: Module) -> Iterator[tuple[int, str]]:
    """Codes as operations write them: Deny("code", ...), Invalid.field(name, "code"), wrong[name] = ("code", {...})."""
    for node in module.nodes(ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in REFUSALS:
            wanted = node.args[:1] + [each.value for each in node.keywords if each.arg == "code"]
        elif name == "field" and getattr(getattr(node.func, "value", None), "id", "") == "Invalid":
            wanted = node.args[1:2]
        else:
            continue
        for each in wanted:
            yield from _texts(each)
    for node in module.nodes(ast.Tuple):
        if len(node.elts) != 2 or not isinstance(node.elts[1], ast.Dict):
            continue
        if isinstance(node.elts[0], ast.Constant) and node.elts[0].value:
            yield from _texts(node.elts[0])


def _texts(node: ast.expr) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


ROOMS = [module for module in modules() if module.name.startswith(("keys/", "portal/")) and "/demo" not in module.name]


@pytest.mark.parametrize("module", ROOMS, ids=lambda module: module.name)
def test_every_code_has_words(module: Module) -> None:
    assert [f"{module.name}:{line} {code}" for line, code in codes_in(module) if code not in SENTENCES] == []


def test_the_net_finds_codes_in_every_shape() -> None:
    text = (
        'Deny("a", "r")\nraise Conflict("b", x=1)\nInvalid.field("f", "c" if x else "d")\nw["f"] = ("e", {})\n'
        'Refusal(code="g")'
    )
    from pathlib import Path

    found = {code for _, code in codes_in(Module(Path("x"), text))}
    assert found == {"a", "b", "c", "d", "e", "g"}


def test_words_never_fail_for_want_of_a_parameter() -> None:
    assert "%(most)s" in sentence_for("over_policy_limit", {"least": 1})
    assert sentence_for("over_policy_limit", {"most": 90}) == "The policy allows at most 90 days."


def test_errors_stand_beside_their_fields() -> None:
    form = type("Wish", (forms.Form,), {"name": forms.CharField()})({"name": "x"})
    mark(form, Invalid({"name": ("too_short", {"least": 3}), "elsewhere": ("required", {})}))
    assert form.errors["name"] == ["At least 3 characters."]
    assert form.non_field_errors() == ["This is needed."]
