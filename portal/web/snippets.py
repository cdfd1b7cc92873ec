"""Show how a program reads its key from where secrets belong: with the name of a variable, never with the secret."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from portal.web.components import Words

API = "https://api.example.com/"


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """One example. `name` is unique on the page."""

    name: str
    label: Words
    text: str


def snippets_for(variable: str) -> list[Snippet]:
    """List examples in the order people ask for them."""
    secret_name = variable.lower().replace("_", "-")
    return [
        Snippet(
            name="snippet-shell",
            label=_("Environment variable"),
            text=f"read -rs {variable} && export {variable}\n# paste the key, then press Enter: it stays out of the history",
        ),
        Snippet(
            name="snippet-curl",
            label=_("curl"),
            text=f'curl --header "Authorization: Bearer ${variable}" {API}',
        ),
        Snippet(
            name="snippet-python",
            label=_("Python"),
            text=(
                "import os\n"
                "import urllib.request\n\n"
                f'key = os.environ["{variable}"]\n'
                f'request = urllib.request.Request("{API}", headers={{"Authorization": f"Bearer {{key}}"}})\n'
                "with urllib.request.urlopen(request, timeout=10) as answer:\n"
                "    print(answer.status)"
            ),
        ),
        Snippet(
            name="snippet-kubernetes",
            label=_("Kubernetes"),
            text=(
                f'kubectl create secret generic {secret_name} --from-literal={variable}="${variable}"\n\n'
                "# in the container of the consumer\n"
                "env:\n"
                f"  - name: {variable}\n"
                "    valueFrom:\n"
                f"      secretKeyRef: {{name: {secret_name}, key: {variable}}}"
            ),
        ),
        Snippet(
            name="snippet-ci",
            label=_("CI"),
            text=(
                f"# store it as a masked, protected variable named {variable}\n"
                "job:\n"
                "  script:\n"
                f'    - curl --fail --header "Authorization: Bearer ${variable}" {API}'
            ),
        ),
    ]
