"""A revoked key came back in 27 of 30 trials when two places wrote `state`; so one place does (docs/decisions)."""

import ast

import pytest

from tests.architecture.source import Module, modules

# Each the one writer of the states of its own table: versions, requests, the jobs of the log, deliveries.
WRITERS = (
    "keys/lifecycle/transitions.py",
    "keys/approvals/transitions.py",
    "keys/lifecycle/rotation_steps.py",
    "keys/reports/export_queue.py",
    "keys/reports/inspections.py",
    "keys/webhooks/queue.py",
)
ORM_WRITES = {"update", "update_or_create", "bulk_update", "save"}


def _writes_state(module: Module) -> list[int]:
    lines = []
    for node in module.nodes(ast.Assign, ast.AugAssign, ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        # `self.state = ...` belongs to a plain object (a form, a filter), not to a row that was fetched.
        lines += [
            node.lineno
            for target in targets
            if isinstance(target, ast.Attribute)
            and target.attr == "state"
            and not (isinstance(target.value, ast.Name) and target.value.id == "self")
        ]
    for call in module.nodes(ast.Call):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "setattr" and any(isinstance(arg, ast.Constant) and arg.value == "state" for arg in call.args):
            lines.append(call.lineno)
        if name in ORM_WRITES and any(keyword.arg == "state" for keyword in call.keywords):
            lines.append(call.lineno)
        if name in ORM_WRITES | {"bulk_update"}:
            for keyword in call.keywords:
                if keyword.arg in {"columns", "update_fields", "defaults", "fields"} and _names_state(keyword.value):
                    lines.append(call.lineno)
    return sorted(set(lines))


def _names_state(value: ast.AST) -> bool:
    """`columns={"state": ...}`, `update_fields=["state"]`."""
    if isinstance(value, ast.Dict):
        return any(isinstance(key, ast.Constant) and key.value == "state" for key in value.keys)
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return any(isinstance(part, ast.Constant) and part.value == "state" for part in value.elts)
    return isinstance(value, ast.Call) and any(keyword.arg == "state" for keyword in value.keywords)


def test_only_the_writers_of_state_write_state():
    found = {module.name: _writes_state(module) for module in modules() if not module.name.startswith(WRITERS)}
    assert {name: lines for name, lines in found.items() if lines} == {}, (
        f"only {' and '.join(WRITERS)} may write `state`"
    )


@pytest.mark.parametrize(
    "planted",
    [
        "version.state = 'active'",
        "KeyVersion.objects.filter(pk=1).update(state='active')",
        "update(version, E, actor=a, at=t, columns={'state': 'active'})",
        "version.save(update_fields=['state'])",
        "setattr(version, 'state', 'active')",
    ],
)
def test_the_net_finds_a_planted_second_writer(planted, tmp_path):
    assert _writes_state(Module(tmp_path, planted)) == [1]
