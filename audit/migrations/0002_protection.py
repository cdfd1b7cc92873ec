"""Let the database fill, queue, guard and keep the log by itself."""

from typing import ClassVar

from django.db import migrations

from audit.governed import AppendOnly, GuardTable
from audit.protection import INSTALL, REMOVE


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0001_the_log")]

    operations: ClassVar = [
        migrations.RunSQL(INSTALL, REMOVE),
        AppendOnly("audit_event", event_column="id"),
        AppendOnly("audit_private", event_column="event_id"),
        AppendOnly("audit_leaf", event_column="event_id"),
        AppendOnly("audit_node"),
        AppendOnly("audit_checkpoint"),
        AppendOnly("audit_cosignature"),
        GuardTable(
            "audit_hold",
            "hold",
            "id from_leaf upto_leaf reason placed_at placed_by lifted_at lifted_by".split(),
        ),
        GuardTable(
            "audit_retention",
            "retention",
            "id keep_days private_days reason proposed_at proposed_by decided_at decided_by outcome".split(),
        ),
    ]
