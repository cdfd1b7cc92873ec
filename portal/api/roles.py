"""Write the table of roles and operations from the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from portal.api.permissions import ROLES

_HEAD: Final = """# Who may do what over the REST API

Made from the OpenAPI document by `manage.py document_api_roles`; a test keeps it so, and another sends every request of it.

The subjects are a request and a key of a developer's team. All have the step-up that the operation asks for.
Without credentials every cell is 401.

| column | who asks |
|---|---|
| developer | somebody of that team, who leads it |
| approver | an approver of the service's team, who leads that one |
| administrator, responder, auditor | somebody with that role for the whole organisation |
| program | a key of the developer's team with every scope |
| stranger | a developer of another team |
| Scopes | those of which a program needs one; none: people only |

| cell | meaning |
|---|---|
| yes | it is done, or shown; a list holds what may be seen, which may be nothing |
| 403 | refused: the thing may be seen, the act is not theirs |
| 404 | refused: the thing may not be seen |
| 422 | what was sent names something that is not theirs to name |

"""


def table(document: dict[str, Any]) -> str:  # Any: OpenAPI is nested JSON
    """Return the whole page."""
    head = ["Operation", "Address", "Scopes", *ROLES]
    lines = [_row(head), _row(["---"] * len(head))]
    for path, operations in sorted(document["paths"].items()):
        if not path.startswith("/api/"):
            continue  # the doors of OAuth 2.0 know no roles yet
        for method, operation in sorted(operations.items()):
            cells = [operation["x-roles"][role] for role in ROLES]
            scopes = ", ".join(f"`{scope}`" for scope in operation["x-scopes"]) or "none"
            lines.append(_row([f"`{operation['operationId']}`", f"{method.upper()} {path}", scopes, *cells]))
    return _HEAD + "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
