"""Write the table of roles and operations from the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from portal.api.permissions import ROLES

_HEAD: Final = """# Who may do what over the REST API

Made from the OpenAPI document by `manage.py document_api_roles`; a test keeps it so, and another sends every request of it.

The subjects are a request and a key of a developer's team: a **developer** of that team who leads it, an **approver** of the
service's team (who leads that one), an **administrator**, a **responder**, an **auditor**, a **program** of the developer's
team with every scope, and a **stranger** from another team. All have the step-up that the operation asks for. Without
credentials every cell is 401. Refusals are: **403** where the thing may be seen, **404** where it may not, **422** where what
was sent names something that is not theirs to name. "Scopes" are those of which a program needs one; none means people only.

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
