"""A file that was asked for over REST is made by a worker and taken as it was made."""

import io
import json
import zipfile

from rest_framework.test import APIClient

from audit.actor import Actor
from keys.reports.export_jobs import make_waiting
from tests.people import acting

ADDRESS = "/api/v1/audit/exports"


def test_what_was_asked_for_over_rest_is_made_and_taken(committed_db, world, tmp_path, settings):
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"
    client = APIClient()
    client.force_authenticate(user=acting(world.auditor, "export"))
    made = client.post(ADDRESS, {"form": "csv"}, format="json").json()
    assert make_waiting(actor=Actor.job("make_exports")) == 1
    said = client.get(f"{ADDRESS}/{made['id']}").json()
    assert (said["state"], said["rows"]) == ("done", said["total"])
    taken = b"".join(client.post(f"{ADDRESS}/{made['id']}/download", {}, format="json").streaming_content)
    assert len(taken) == said["size"]
    with zipfile.ZipFile(io.BytesIO(taken)) as packed:
        assert json.loads(packed.read("manifest.json"))["rows"] == said["rows"]
