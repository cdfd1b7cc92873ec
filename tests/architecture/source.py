"""Read the source of the three floors as syntax trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("portal", "keys", "audit")


@dataclass(frozen=True)
class Module:
    """One module of a floor."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tree(self) -> ast.Module:
        """Parsed when a rule asks: whoever only lists modules, as every worker does to collect its tests, parses none."""
        return ast.parse(self.text, filename=str(self.path))

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of ours but the migrations, which are generated."""
    found = []
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            if "migrations" not in path.parts:
                found.append(Module(path, path.read_text()))
    return tuple(found)
