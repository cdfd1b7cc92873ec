"""The jobs in Chromium, in trouble and at peace: no axe finding, no breach of the policy, no sideways scrolling."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from playwright.sync_api import Browser

from audit import clock
from keys.jobs.kinds import KINDS
from keys.models import JobLease, JobRun, JobSchedule
from tests.people import World
from tests.portal.web.looking import amiss
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]


def furnish(world: World) -> None:
    """Let most jobs be well, one be late, one fail, one be left by its worker, and two rows be stuck."""
    at = clock.now()
    for place, kind in enumerate(KINDS):
        ended = {"ended_at": at, "done": place % 3}
        if kind == "keys.send_mail":
            ended |= {"code": "smtp_server_disconnected", "failures": 1}
        elif kind == "keys.expire_private_parts":
            ended = {"ended_at": None}
        slot = at - timedelta(minutes=10 if kind == "keys.check_integrity" else 0)
        JobRun.objects.create(
            kind=kind, slot=slot, started_at=slot, free_at=slot, worker="host:7", attempts=1 + place % 2, **ended
        )
    for subject, step, code in (
        (world.orders.pk, "finish_retirement", "wrong_version_state"),
        (uuid.uuid4(), "prepare_rotation", "key_of_the_seal_is_unknown"),
    ):
        JobLease.objects.create(
            kind="keys.rotate", step=step, subject_type="service", subject_id=subject, attempts=4, worker="host:7",
            taken_at=at, first_taken_at=at - timedelta(hours=1), free_at=at + timedelta(minutes=5), code=code,
        )  # fmt: skip


def test_the_jobs_are_accessible_keep_the_policy_and_fit(
    chromium: Browser, portal_server: PortalServer, world: World
) -> None:
    form = f"/health/jobs/{JobSchedule.objects.get(kind='keys.rotate').pk}/"
    found = amiss(world.auditor, ["/health/"], chromium, portal_server)
    furnish(world)
    assert found + amiss(world.admin, ["/health/", form], chromium, portal_server) == []
