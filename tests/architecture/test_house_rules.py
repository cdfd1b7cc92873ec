"""Hold the rules of the house that no linter knows: names, imports at the top, one screen a room, words in the docs."""

import ast
import re

from portal.logs import ALLOWED
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
ONE_FILE = {"audit/verify.py"}  # auditors take it away as it is: one file, and nothing to install


def _breaking(rule):
    """Return the modules of which `rule` finds something, with what it found."""
    return {module.name: found for module in modules() if (found := rule(module))}


def _has_no_purpose(module):
    if not module.text.strip():
        return module.path.name != "__init__.py"
    return not (ast.get_docstring(module.tree) or "").split("\n")[0].endswith((".", ":", "?", "!"))


def _imports_inside(module):
    # Django demands one kind: what needs models is imported when the app is ready.
    if module.path.name == "apps.py":
        return []
    return [
        node.lineno
        for function in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def _bare_ignores(module):
    lines = enumerate(module.text.splitlines(), 1)
    return [number for number, line in lines if re.search(r"#\s*(noqa|type:\s*ignore)\s*$", line)]


def _facts_withheld(module):
    """What is said to a log and would not be in it."""
    said = (
        (node.lineno, keyword.arg)
        for node in module.nodes(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in {"debug", "info", "warning", "error", "critical"}
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"log", "_log"}
        for keyword in node.keywords
    )
    return [(line, fact) for line, fact in said if fact not in {*ALLOWED, "exc_info"}]


def test_every_fact_that_is_logged_is_one_that_logs_may_hold():
    assert _breaking(_facts_withheld) == {}, "it would be withheld: name it in portal/logs.py if it can hold no secret"


def test_every_module_says_its_one_purpose_in_its_first_line():
    assert _breaking(_has_no_purpose) == {}


def test_imports_stand_at_the_top():
    assert _breaking(_imports_inside) == {}, "imports inside functions: the rooms are wrong"


def test_imports_are_absolute():
    assert _breaking(lambda module: [node.lineno for node in module.nodes(ast.ImportFrom) if node.level]) == {}


def test_no_module_is_named_for_nothing():
    assert _breaking(lambda module: set(module.path.relative_to(ROOT).with_suffix("").parts) & FORBIDDEN_NAMES) == {}


def test_a_module_is_one_room_not_a_hall():
    lengths = {module.name: module.text.count("\n") for module in modules() if module.name not in ONE_FILE}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_every_ignored_rule_is_named():
    assert _breaking(_bare_ignores) == {}


def test_nothing_is_left_to_be_done():
    assert _breaking(lambda module: re.findall(r"\b(TODO|FIXME|XXX)\b", module.text)) == {}


def test_every_setting_is_documented():
    settings = (ROOT / "portal" / "settings.py").read_text()
    read = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', settings)) | set(
        re.findall(r'_database\("([A-Z_]+)"', settings)
    )
    for module in modules():
        read |= set(re.findall(r'(?:os\.environ|environment)(?:\.get\(|\[)"([A-Z_]+)"', module.text))
    read -= {"DJANGO_SETTINGS_MODULE", "PYTHONWARNINGS", "PATH"}
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
