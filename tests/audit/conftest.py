"""Connections as each database role, and a guarded table of our own."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.test.utils import isolate_apps

from audit.database import APPLICATION, AUDITOR
from audit.governed import governed
from audit.protection import guard_sql
from portal.layout import layout_at
from tests.audit.things import GOVERNED, TABLE

if TYPE_CHECKING:
    from audit.models import AuditEvent

Connect = Callable[[str], "psycopg.Connection[Any]"]


@pytest.fixture
def connect(committed_db: None) -> Iterator[Connect]:
    """Connect as a role of the database, the way its process would."""
    with ExitStack() as stack:

        def open_as(role: str) -> "psycopg.Connection[Any]":
            conninfo = layout_at(os.environ["KEYSTEAD_DATA"]).conninfo(role, settings.DATABASES["default"]["NAME"])
            return stack.enter_context(closing(psycopg.connect(conninfo, autocommit=True)))

        yield open_as


@pytest.fixture
def never_analysed(superuser: "psycopg.Connection[Any]") -> None:
    """Have the planner know nothing of the log, as of a new one; by what it knows of a few rows, every plan is as good."""
    superuser.execute("DELETE FROM pg_statistic WHERE starelid = 'audit_event'::regclass")
    superuser.execute("UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = 'audit_event'::regclass")


@pytest.fixture
def event(committed_db: None) -> "AuditEvent":
    """An event of Alice's with a private part, committed."""
    from audit import clock, log  # Django's settings are there only now
    from audit.models import AuditEvent
    from tests.audit.things import ALICE, ThingChanged

    with transaction.atomic():
        uid = log.record(ThingChanged(target_id="t", comment="words"), actor=ALICE, at=clock.now())
    return AuditEvent.objects.get(uid=uid)


@pytest.fixture
def thing(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A governed, guarded table and its model; the only entry of the registry meanwhile."""
    with connect("keystead_owner") as owner:
        owner.execute(TABLE)
        owner.execute(guard_sql("thing", "thing", columns=GOVERNED, pk="id"))
        owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON thing TO {APPLICATION}")
        owner.execute(f"GRANT SELECT ON thing TO {AUDITOR}")
    monkeypatch.setattr("audit.governed._tables", {})
    with isolate_apps("audit"):

        class Thing(models.Model):
            id = models.UUIDField(primary_key=True)
            name = models.TextField()
            state = models.TextField()
            note = models.TextField(default="")
            tags = ArrayField(models.TextField(), default=list)
            facts = models.JSONField(null=True)
            size = models.BigIntegerField(null=True)
            until = models.DateTimeField(null=True)
            period = models.DurationField(null=True)
            hits = models.IntegerField(default=0)
            mac = models.TextField(default="")

            class Meta:
                app_label = "audit"
                db_table = "thing"

        yield governed("thing", private=("note",), excluded={"hits": "a counter", "mac": "checked elsewhere"})(Thing)
