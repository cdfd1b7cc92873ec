"""What the documents name exists, and what exists is in a document: commands, targets, links, paths, tests, rooms."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.architecture.source import FLOORS, ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EVERY = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
COMMANDS = {
    path.stem for floor in FLOORS for path in (ROOT / floor).glob("management/commands/*.py") if path.stem != "__init__"
}
NOTE_HEADINGS = ["Context", "Decision", "Cost", "What would change our mind"]
PATH = re.compile(
    r"`((?:portal|keys|audit|tests|templates|docs|requirements|\.ci)/[A-Za-z0-9_./*-]*|[A-Za-z-]+\.(?:toml|yml|in))`"
)


def without_code_blocks(text: str) -> str:
    """Links and headings are looked for outside of fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """The fragment of each heading, as forges make it."""
    found = set()
    for heading in re.findall(r"^#+ +(.+)$", without_code_blocks(document.read_text()), flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


def dead_links(document: Path, text: str) -> list[str]:
    """The links of `text` that lead nowhere on this disk."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code_blocks(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        there = (document.parent / name).resolve() if name else document
        if not there.exists() or (fragment and fragment not in anchors(there)):
            dead.append(target)
    return dead


def unknown_commands(text: str) -> set[str]:
    """Management commands that are named and do not exist."""
    return set(re.findall(r"manage\.py +([a-z_]+)", text)) - get_commands().keys()


def unknown_targets(text: str) -> set[str]:
    """Make targets that are named as code and do not exist."""
    return set(re.findall(r"(?:`|^|&& )make ([a-z][a-z-]*)", text, flags=re.MULTILINE)) - TARGETS


def missing_paths(text: str) -> list[str]:
    """Files and folders of ours that are named as code and do not exist."""
    return [name for name in PATH.findall(text) if not any(ROOT.glob(name.rstrip("/")))]


@EVERY
def test_every_link_leads_somewhere(document):
    assert dead_links(document, document.read_text()) == []


@EVERY
def test_every_command_and_target_that_is_named_exists(document):
    text = document.read_text()
    assert unknown_commands(text) == set()
    assert unknown_targets(text) == set()


@EVERY
def test_every_file_that_is_named_exists(document):
    assert missing_paths(document.read_text()) == []


def test_every_management_command_is_in_the_operators_page():
    page = (ROOT / "docs" / "operations.md").read_text()
    assert {name for name in COMMANDS if f"`manage.py {name}" not in page} == set()


def test_every_room_is_on_the_map():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {
        str(path.parent.relative_to(ROOT))
        for floor in FLOORS
        for path in (ROOT / floor).glob("*/__init__.py")
        if path.parent.name not in {"migrations", "management"}
    }
    assert {room for room in rooms if f"`{room}/" not in page} == set()


def test_every_check_of_production_is_explained():
    checks = set(re.findall(r'id="keystead\.([EW]\d{3})"', (ROOT / "portal" / "checks.py").read_text()))
    page = (ROOT / "docs" / "settings.md").read_text()
    assert checks
    assert {code for code in checks if code not in page} == set()


def test_every_part_of_the_status_page_has_its_remedy():
    reasons = set(re.findall(r'reason="([a-z_]+)"', (ROOT / "portal" / "health.py").read_text()))
    page = (ROOT / "docs" / "operations.md").read_text()
    assert reasons
    assert {reason for reason in reasons if reason not in page} == set()


def test_decision_notes_are_numbered_complete_and_short():
    notes = sorted(path for path in (ROOT / "docs" / "decisions").glob("*.md") if path.name != "README.md")
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert [path.name[:3] for path in notes] == [f"{number:03d}" for number in range(1, len(notes) + 1)]
    for path in notes:
        text = path.read_text()
        assert f"({path.name})" in index, f"{path.name} is not in the index"
        assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == NOTE_HEADINGS, path.name
        assert 12 <= text.count("\n") <= 40, f"{path.name} is not a note any more"


def test_every_document_is_reached_from_the_readme():
    def linked(document: Path) -> set[Path]:
        targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", without_code_blocks(document.read_text()))
        return {(document.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)}

    seen, open_ = set(), {ROOT / "README.md"}
    while open_:
        document = open_.pop()
        seen.add(document)
        open_ |= {path for path in linked(document) if path.suffix == ".md" and path.exists()} - seen
    assert [path.name for path in DOCUMENTS if path not in seen] == []


def test_the_nets_find_what_is_planted(tmp_path):
    document = tmp_path / "page.md"
    text = "[a](nowhere.md) [b](#no-such) `manage.py make_coffee` `make coffee` `keys/coffee.py` `tests/coffee/`"
    document.write_text(text)
    assert dead_links(document, text) == ["nowhere.md", "#no-such"]
    assert unknown_commands(text) == {"make_coffee"}
    assert unknown_targets(text) == {"coffee"}
    assert missing_paths(text) == ["keys/coffee.py", "tests/coffee/"]
