"""Let readers of the log have files made from it, follow them and take them; every step is on the log."""

from __future__ import annotations

import json
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import NotFound
from keys.reports.export_scopes import Leaves, Wanted
from keys.reports.exports import cancel_export, read_export, read_exports, request_export, take_export
from keys.reports.searches import LogSearch, Subject
from portal.api.doors import Door, offered
from portal.api.events import READ
from portal.api.fields import Nothing
from portal.api.inputs import ExportBody
from portal.api.outputs import ExportOut, page_of
from portal.api.pagination import page_size
from portal.api.parameters import CURSOR, LIMIT, read_uuid
from portal.api.problems import BadRequest

ZIP = "application/zip"
ExportPage = page_of(ExportOut)


class ZipRenderer(BaseRenderer):
    """Let callers say that they take a zip. Files are sent as they are; only refusals come here."""

    media_type = ZIP
    format = "zip"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:  # Any: DRF's own
        """Write a refusal as the JSON that it is."""
        return json.dumps(data, default=str, ensure_ascii=False).encode("utf-8")


class Exports(Door):
    """All files."""

    @offered(
        "exports_list", gives=ExportPage, scopes=READ, yes="administrator auditor program",
        hidden="developer approver responder stranger", reads=(CURSOR, LIMIT), tag="log",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """List what was asked for, newest first. A program sees its own."""
        try:
            before = read_uuid(self.values["cursor"]) if "cursor" in self.values else None
        except ValueError as error:
            raise BadRequest("invalid_parameter", field="cursor") from error
        size = page_size(request)
        found = read_exports(actor=self.actor, before=before, size=size)
        shown = ExportOut(found[:size], many=True, context={"actor": self.actor}).data
        return Response({"results": shown, "next": str(found[size - 1].uid) if len(found) > size else None})

    @offered(
        "exports_create", takes=ExportBody, gives=ExportOut, status=202, scopes=READ,
        yes="administrator auditor program", hidden="developer approver responder stranger", tag="log",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Ask for a file; a worker makes it. People only with a step-up for `export`, and only they get ranges and private parts."""
        body = self.read(ExportBody)
        made = request_export(
            _wanted(body),
            form=body["form"],
            actor=self.actor,
            with_private=body["with_private"],
            with_ocsf=body["with_ocsf"],
        )
        return self.show(ExportOut, made, status=202)


class OneExport(Door):
    """One file."""

    @offered(
        "exports_retrieve", gives=ExportOut, scopes=READ, yes="administrator auditor program",
        hidden="developer approver responder stranger", tag="log",
    )  # fmt: skip
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Tell how far it is."""
        return self.show(ExportOut, read_export(_uid(id), actor=self.actor))


class Cancellation(Door):
    """Take back."""

    @offered(
        "exports_cancel", takes=Nothing, gives=ExportOut, scopes=READ, yes="administrator auditor program",
        hidden="developer approver responder stranger", by_devices=False, tag="log",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Cancel what waits for a worker or is being made: your own, or as an administrator anybody's. No file is left of it."""
        uid = _uid(id)
        self.read(Nothing)
        return self.show(ExportOut, cancel_export(uid, actor=self.actor))


class Download(Door):
    """Take away."""

    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [JSONRenderer, ZipRenderer]  # type: ignore[misc]  # narrower than DRF's

    @offered(
        "exports_download", takes=Nothing, gives=OpenApiTypes.BINARY, media=ZIP, scopes=READ, replays=False,
        yes="administrator auditor program", hidden="developer approver responder stranger", tag="log",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Take a finished file. That it was taken is recorded. People only with a step-up for `export`."""
        uid = _uid(id)
        self.read(Nothing)
        taken = take_export(uid, actor=self.actor)
        answer = FileResponse(taken.path.open("rb"), as_attachment=True, filename=taken.name, content_type=ZIP)
        return cast("Response", answer)  # DRF lets Django's own answers through


def _uid(text: str) -> UUID:
    try:
        return read_uuid(text)
    except ValueError:
        raise NotFound from None


def _wanted(body: dict[str, Any]) -> Wanted:  # Any: values of the body
    if body["upto_leaf"] is not None:
        return Leaves(from_leaf=body["from_leaf"], upto_leaf=body["upto_leaf"])
    return LogSearch(
        start=body["since"],
        end=body["before"],
        actor=Subject.parse(body["actor"]),
        actions=(body["action"],) if body["action"] else (),
        target=Subject.parse(body["target"]),
        environment=body["environment"],
        outcome=body["outcome"],
    )
