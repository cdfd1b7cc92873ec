"""Let the database fill, queue, guard and keep the log by itself."""

from typing import ClassVar

from django.db import migrations

from audit.governed import AppendOnly
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
    ]
