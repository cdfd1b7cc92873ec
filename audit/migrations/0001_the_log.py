"""Create the tables of the log, and the places of seals and proofs."""

import django.db.models.deletion
from django.db import migrations, models

import audit.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("size", models.BigIntegerField(primary_key=True, serialize=False)),
                ("root", models.BinaryField()),
                ("note", models.TextField()),
                ("signed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "audit_checkpoint",
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(unique=True)),
                ("occurred_at", models.DateTimeField()),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=models.Func(function="clock_timestamp", output_field=models.DateTimeField())
                    ),
                ),
                (
                    "txid",
                    audit.fields.TransactionIdField(
                        db_default=models.Func(function="pg_current_xact_id", output_field=models.BigIntegerField())
                    ),
                ),
                ("actor_type", models.TextField()),
                ("actor_id", models.TextField()),
                ("action", models.TextField()),
                ("target_type", models.TextField()),
                ("target_id", models.TextField()),
                ("environment", models.TextField()),
                ("outcome", models.TextField()),
                ("request_id", models.TextField()),
                ("payload", models.BinaryField()),
            ],
            options={
                "db_table": "audit_event",
            },
        ),
        migrations.CreateModel(
            name="AuditExport",
            fields=[
                ("uid", models.UUIDField(primary_key=True, serialize=False)),
                ("requested_at", models.DateTimeField()),
                ("requested_by", models.TextField()),
                ("form", models.TextField()),
                ("searched", models.JSONField(default=dict)),
                ("scope", models.JSONField(default=dict)),
                ("with_private", models.BooleanField(default=False)),
                ("state", models.TextField(default="waiting")),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("lease_until", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("rows", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(null=True)),
                ("size", models.BigIntegerField(default=0)),
                ("sha256", models.BinaryField(default=bytes)),
                ("file", models.TextField(default="")),
                ("event_uid", models.UUIDField(null=True)),
                ("error", models.TextField(default="")),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "audit_export",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ("waiting", "running"))),
                        fields=["requested_at"],
                        name="audit_export_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["waiting", "running", "done", "failed", "expired", "cancelled"])
                        ),
                        name="audit_export_state",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditInspection",
            fields=[
                ("uid", models.UUIDField(primary_key=True, serialize=False)),
                ("asked_at", models.DateTimeField()),
                ("asked_by", models.TextField()),
                ("state", models.TextField(default="waiting")),
                ("started_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("checked", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(default=0)),
                ("root", models.TextField(default="")),
                ("findings", models.JSONField(default=list)),
                ("first_bad_index", models.BigIntegerField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "audit_inspection",
                "indexes": [models.Index(fields=["asked_at"], name="audit_inspection_time")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "running", "held", "broken", "failed"])),
                        name="audit_inspection_state",
                    ),
                    models.UniqueConstraint(
                        models.Value(1),
                        condition=models.Q(("state__in", ("waiting", "running"))),
                        name="audit_inspection_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditForward",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("next_leaf", models.BigIntegerField(default=0)),
                ("sent_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField(null=True)),
                ("problem", models.TextField(default="")),
            ],
            options={
                "db_table": "audit_forward",
            },
        ),
        migrations.CreateModel(
            name="AuditHold",
            fields=[
                ("from_leaf", models.BigIntegerField()),
                ("upto_leaf", models.BigIntegerField()),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("reason", models.TextField()),
                ("placed_at", models.DateTimeField()),
                ("placed_by", models.TextField()),
                ("lifted_at", models.DateTimeField(null=True)),
                ("lifted_by", models.TextField(default="")),
            ],
            options={
                "db_table": "audit_hold",
            },
        ),
        migrations.CreateModel(
            name="AuditRetention",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("keep_days", models.PositiveIntegerField(null=True)),
                ("private_days", models.PositiveIntegerField(null=True)),
                ("reason", models.TextField()),
                ("proposed_at", models.DateTimeField()),
                ("proposed_by", models.TextField()),
                ("decided_at", models.DateTimeField(null=True)),
                ("decided_by", models.TextField(default="")),
                ("outcome", models.TextField(default="")),
            ],
            options={
                "db_table": "audit_retention",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("outcome__in", ["", "accepted", "refused"])), name="auditretention_outcome"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at", None), ("decided_by", ""), ("outcome", "")),
                            models.Q(
                                ("decided_at__isnull", False),
                                models.Q(("decided_by", ""), _negated=True),
                                models.Q(("outcome", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="auditretention_decided_by_someone",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("keep_days", None), ("keep_days__gte", 30), _connector="OR"),
                            models.Q(("private_days", None), ("private_days__gte", 1), _connector="OR"),
                        ),
                        name="auditretention_spans",
                    ),
                    models.UniqueConstraint(
                        fields=("outcome",), condition=models.Q(("outcome", "")), name="auditretention_one_open"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditInterruption",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("cause", models.TextField()),
                (
                    "began_at",
                    models.DateTimeField(
                        db_default=models.Func(function="clock_timestamp", output_field=models.DateTimeField())
                    ),
                ),
                ("from_leaf", models.BigIntegerField()),
                ("upto_leaf", models.BigIntegerField()),
                ("recovered_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_by", models.TextField(db_default="")),
            ],
            options={
                "db_table": "audit_interruption",
                "constraints": [
                    models.UniqueConstraint(
                        models.Value(1),
                        condition=models.Q(("ended_at", None)),
                        name="audit_interruption_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditLeaf",
            fields=[
                ("index", models.BigIntegerField(primary_key=True, serialize=False)),
                ("event_id", models.BigIntegerField()),
                ("leaf_hash", models.BinaryField()),
            ],
            options={
                "db_table": "audit_leaf",
            },
        ),
        migrations.CreateModel(
            name="AuditNode",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "index", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.SmallIntegerField()),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={
                "db_table": "audit_node",
            },
        ),
        migrations.CreateModel(
            name="AuditPending",
            fields=[
                ("event_id", models.BigIntegerField(primary_key=True, serialize=False)),
            ],
            options={
                "db_table": "audit_pending",
            },
        ),
        migrations.CreateModel(
            name="AuditArchive",
            fields=[
                ("from_leaf", models.BigIntegerField()),
                ("upto_leaf", models.BigIntegerField()),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("location", models.TextField()),
                ("sha256", models.BinaryField()),
                ("size", models.BigIntegerField()),
                ("archived_at", models.DateTimeField()),
                ("verified_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "audit_archive",
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("from_leaf__gte", 0), ("upto_leaf__gt", models.F("from_leaf"))),
                        name="auditarchive_range",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditCosignature",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("witness", models.TextField()),
                ("signature", models.TextField()),
                ("signed_at", models.DateTimeField()),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cosignatures",
                        to="audit.auditcheckpoint",
                    ),
                ),
            ],
            options={
                "db_table": "audit_cosignature",
            },
        ),
        migrations.CreateModel(
            name="AuditWitness",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("is_elsewhere", models.BooleanField()),
                ("size", models.BigIntegerField(default=0)),
                ("seen_at", models.DateTimeField(null=True)),
                ("silent_at", models.DateTimeField()),
                ("failed_at", models.DateTimeField(null=True)),
                ("reason", models.TextField(default="")),
            ],
            options={
                "db_table": "audit_witness",
            },
        ),
        migrations.CreateModel(
            name="AuditPrivate",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="private",
                        serialize=False,
                        to="audit.auditevent",
                    ),
                ),
                ("salt", models.BinaryField()),
                ("body", models.BinaryField()),
            ],
            options={
                "db_table": "audit_private",
            },
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["occurred_at", "id"], name="audit_event_time"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["target_type", "target_id", "occurred_at", "id"], name="audit_event_target"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["actor_type", "actor_id", "occurred_at", "id"], name="audit_event_actor"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["action", "occurred_at", "id"], name="audit_event_action"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["environment", "occurred_at", "id"], name="audit_event_environment"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("outcome", "success"), _negated=True),
                fields=["outcome", "occurred_at", "id"],
                name="audit_event_outcome",
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True), fields=["request_id"], name="audit_event_request"
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["txid", "target_id"], name="audit_event_transaction"),
        ),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("payload__length__lte", 16384)), name="audit_event_payload_size"
            ),
        ),
        migrations.AddConstraint(
            model_name="audithold",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_leaf__gte", 0), ("upto_leaf__gt", models.F("from_leaf"))),
                name="audithold_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="audithold",
            constraint=models.CheckConstraint(
                condition=models.Q(("lifted_by", models.F("placed_by")), _negated=True),
                name="audithold_lifted_by_another",
            ),
        ),
        migrations.AddConstraint(
            model_name="audithold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lifted_at", None), ("lifted_by", "")),
                    models.Q(("lifted_at__isnull", False), models.Q(("lifted_by", ""), _negated=True)),
                    _connector="OR",
                ),
                name="audithold_lifted_by_someone",
            ),
        ),
        migrations.AddConstraint(
            model_name="auditleaf",
            constraint=models.UniqueConstraint(fields=("event_id",), include=("index",), name="audit_leaf_event"),
        ),
        migrations.AddConstraint(
            model_name="auditleaf",
            constraint=models.CheckConstraint(condition=models.Q(("index__gte", 0)), name="audit_leaf_index"),
        ),
        migrations.AddConstraint(
            model_name="auditleaf",
            constraint=models.CheckConstraint(
                condition=models.Q(("leaf_hash__length", 32)), name="audit_leaf_hash_size"
            ),
        ),
        migrations.AddConstraint(
            model_name="auditnode",
            constraint=models.CheckConstraint(condition=models.Q(("hash__length", 32)), name="audit_node_hash_size"),
        ),
        migrations.AddConstraint(
            model_name="auditcosignature",
            constraint=models.UniqueConstraint(
                fields=("checkpoint", "witness", "signed_at"), name="audit_cosignature_once"
            ),
        ),
    ]
