"""Hold the rules of the house that no linter knows: names, imports at the top, one screen a room, words in the docs."""

import ast
import re

import pytest

from tests.architecture.source import ROOT, modules

FORBIDDEN_NAMES = {
    "utils",
    "helpers",
    "common",
    "misc",
    "manager",
    "managers",
    "handler",
    "handlers",
    "process",
    "data",
    "info",
    "do",
}
LONGEST_MODULE = 400
ALL = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)


@ALL
def test_every_module_says_its_one_purpose_in_its_first_line(module):
    if not module.text.strip():
        assert module.path.name == "__init__.py", "an empty module has no purpose"
        return
    words = (ast.get_docstring(module.tree) or "").split("\n")[0]
    assert words.endswith((".", ":", "?", "!")), f"{module.name}: the first line of the docstring is no sentence"


@ALL
def test_imports_stand_at_the_top(module):
    inside = [
        node.lineno
        for function in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    # Django demands one kind: what needs models is imported when the app is ready.
    if module.path.name == "apps.py":
        return
    assert inside == [], f"{module.name} imports inside functions: the rooms are wrong"


@ALL
def test_imports_are_absolute(module):
    assert [node.lineno for node in module.nodes(ast.ImportFrom) if node.level] == []


@ALL
def test_no_module_is_named_for_nothing(module):
    parts = set(module.path.relative_to(ROOT).with_suffix("").parts)
    assert not parts & FORBIDDEN_NAMES


@ALL
def test_a_module_is_one_room_not_a_hall(module):
    assert module.text.count("\n") <= LONGEST_MODULE, f"{module.name} is long; is it still one room?"


@ALL
def test_every_ignored_rule_has_a_reason_or_a_name(module):
    bare = [
        number
        for number, line in enumerate(module.text.splitlines(), 1)
        if re.search(r"#\s*(noqa|type:\s*ignore)\s*$", line)
    ]
    assert bare == []


@ALL
def test_nothing_is_left_to_be_done(module):
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", module.text)


def test_every_setting_is_documented():
    settings = (ROOT / "portal" / "settings.py").read_text()
    read = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', settings)) | set(
        re.findall(r'_database\("([A-Z_]+)"', settings)
    )
    documented = (ROOT / "docs" / "settings.md").read_text()
    assert read, "the settings are read in another way than this test looks for"
    missing = {name for name in read if f"`{name}`" not in documented}
    assert not missing, f"docs/settings.md does not explain {sorted(missing)}"


def test_every_command_of_the_workshop_is_documented():
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"^([a-z-]+):.*##", makefile, flags=re.MULTILINE))
    documented = (ROOT / "docs" / "development.md").read_text()
    missing = {name for name in commands if f"`make {name}" not in documented}
    assert not missing, f"docs/development.md does not explain {sorted(missing)}"
