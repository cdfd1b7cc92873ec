"""The crypto room is plain Python: an auditor can run it without the portal."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "keys" / "crypto").rglob("*.py")
    if path.name != "__init__.py"
)


def test_no_module_of_the_room_loads_a_framework() -> None:
    program = (
        f"import sys, {', '.join(MODULES)}\n"
        "loaded = {'django', 'rest_framework', 'celery', 'redis', 'webauthn'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or None)"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
