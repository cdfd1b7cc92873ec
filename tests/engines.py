"""Start a real PostgreSQL and a real Valkey for each worker, as copies of a cluster that is prepared once.

Each worker has a cluster of its own: transaction ids are a cluster's, so an open transaction of one worker would hold up
what another one's reader of the log may read.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from portal import embedded
from portal.layout import Layout, layout_at

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "keystead_template"
MEMORY = Path("/dev/shm")
# Five workers with clusters of a few hundred megabytes, and as much again for whoever else is there.
PLENTY = 4 * 2**30


def layout_of_worker() -> Layout:
    """Return where this worker's engines keep their files."""
    return layout_at(os.environ["KEYSTEAD_DATA"])


def new_folder(prefix: str = "keystead-tests-") -> Path:
    """Make a folder that root's engines may enter, who run as another user.

    In memory where there is plenty of it: a copy of the database is a thousand files, for which a disk takes ten times as long.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _has_plenty(MEMORY) else None))
    folder.chmod(0o755)
    return folder


def _has_plenty(folder: Path) -> bool:
    """Tell whether `folder` is there, has room, and lets the programs run that an installation copies beside its data."""
    try:
        told = os.statvfs(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK) and not told.f_flag & os.ST_NOEXEC and told.f_bavail * told.f_frsize >= PLENTY


def start_engines(made: Path | None) -> embedded.Engines:
    """Start the engines in a folder of this worker, with the template of the tests' database in it."""
    folder = new_folder()
    (folder / "static").mkdir()  # whitenoise warns when it is missing
    os.environ["KEYSTEAD_DATA"] = str(folder)
    if made is not None:
        embedded.prepare_home(layout_of_worker())
        for name in ("postgres", "secrets"):
            kept: Path = getattr(layout_at(made), name)
            subprocess.run(["cp", "-Rp", kept, getattr(layout_of_worker(), name)], check=True)  # files keep their owner
    engines = embedded.Engines(layout_of_worker(), durable=False).start()
    if made is None:
        _make_template(layout_of_worker())
    return engines


def _make_template(layout: Layout) -> None:
    """Make the secrets and the template of the tests' database in a running cluster: most of the work is Django's."""
    embedded.create_secrets(layout)
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as connection:
        embedded.create_database(connection, TEMPLATE)
    embedded.own_schema(layout, TEMPLATE)
    environment = os.environ | {
        "KEYSTEAD_DATA": str(layout.data),
        "DATABASE_URL": layout.database_url("keystead_owner", TEMPLATE),
        "KEYSTEAD_STATEMENT_TIMEOUT_MS": "0",
    }
    made = subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.exit(f"prepare_database failed:\n{made.stdout[-2000:]}{made.stderr[-6000:]}", returncode=3)


def make_cluster() -> Path:
    """Make a cluster with the template once for all workers, and leave it stopped: to copy it takes a tenth of a second."""
    layout = layout_at(new_folder())
    with embedded.Engines(layout, durable=False, with_valkey=False):
        _make_template(layout)
    return layout.data


def superuser(database: str) -> "closing[psycopg.Connection[tuple[object, ...]]]":
    """Connect without the limits of any role."""
    return closing(psycopg.connect(layout_of_worker().conninfo(database=database), autocommit=True))


def database_name() -> str:
    """Return the name of this worker's database."""
    return f"keystead_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


def forget_addresses() -> None:
    """Take out of the environment what would lead a test out of its worker."""
    for name in (
        "KEYSTEAD_SECRET_KEY",
        "KEYSTEAD_KEYRING_FILE",
        "EMAIL_URL",
        "DEMO",
        "PORT",
        "KEYSTEAD_PUBLIC_URL",
    ):
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("DATABASE_") or name == "REDIS_URL"]:
        del os.environ[name]


def name_addresses() -> None:
    """Point the settings at this worker's database and Valkey."""
    layout, database = layout_of_worker(), database_name()
    os.environ["DATABASE_URL"] = layout.database_url("keystead_application", database)
    for role in ("owner", "verifier", "sealer", "auditor", "retention"):
        os.environ[f"DATABASE_{role.upper()}_URL"] = layout.database_url(f"keystead_{role}", database)
    os.environ["REDIS_URL"] = layout.redis_url


def remove(layout: Layout) -> None:
    """Remove the folder of an installation that is stopped."""
    home = layout.home  # which a file of the folder names
    for folder in (layout.data, home):
        shutil.rmtree(folder, ignore_errors=True)
