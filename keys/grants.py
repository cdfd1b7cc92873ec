"""Declare what each database role may do with the tables of this floor and of the libraries below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.apps import apps

from audit.database import APPLICATION, AUDITOR, VERIFIER
from audit.governed import governed_tables

_READ = ("SELECT",)
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Governed rows are never deleted: they end. A DELETE right would only serve a mistake or an attack.
_GOVERN = ("SELECT", "INSERT", "UPDATE")

# What a verification asks, column by column: no purpose, no names, nothing about people.
_VERIFIER_READS = {
    "keys_keyversion": "id, managed_key_id, sequence, kid, state, digest, digest_algorithm, public_key,"
    " sealed_secret, row_mac, claim_until,"
    " activated_at, expires_at, retire_at, suspended_reason, ended_reason",
    "keys_managedkey": "id, number, name, owner_team_id, consumer, service_id, environment_id, kind, scopes, networks, limits, policy_id,"
    " authorised_until, verifies_service_id, verifies_environment_id, revoked_at, revoked_reason",
    "keys_service": "id, slug, owner_team_id, retires_at, retired_at",
    "keys_environment": "id, tag, environment_class, max_staleness_ms",
    "keys_team": "id, slug",
    "keys_policy": "id, service_id, environment_id, version, brownouts, signature_required, signed_scopes,"
    " signature_window_seconds",
    "keys_verificationchange": "id, txid, at, managed_key_id",
}
# Its own lease, what it counts, and which nonces are spent; only what is spent and over is deleted.
_VERIFIER_WRITES = ("keys_verifier", "keys_usagecount", "keys_sighting", "keys_noncestore")
_AUDITOR_DOES_NOT_READ = (
    "keys_session",
    "keys_devicesignin",
    "keys_recoverycode",
    "keys_passwordreset",
    "keys_approvalstatement",
)
_AUDITOR_READS = {
    "keys_person": "id, created_at, email, name, roles, is_active, deactivated_at, erased_at",
    "keys_keyversion": "id, created_at, managed_key_id, sequence, kid, state, digest_algorithm, public_key, last4, claim_until,"
    " claimed_at, claimed_by_id, activated_at, expires_at, retire_at, suspended_at, suspended_reason, suspended_by,"
    " ended_at, ended_reason",
    "keys_webhookendpoint": "id, created_at, owner_team_id, url, description, form, kinds, secret_set_at, previous_until,"
    " disabled_at, disabled_reason, removed_at",
    "keys_calendarfeed": "id, created_at, person_id, team_id, read_at, removed_at",
}


def grants() -> dict[str, Mapping[str, Sequence[str]]]:
    """Every table of keys, portal and Django's own -> role -> privileges. The log's own tables are audit.database.GRANTS."""
    governed = {each.table for each in governed_tables().values()}
    tables = {
        model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.app_label != "audit"
    }
    declared: dict[str, Mapping[str, Sequence[str]]] = {
        "django_migrations": {APPLICATION: _READ, VERIFIER: _READ},
        "keys_key_number": {APPLICATION: ("USAGE",)},
        "keys_request_number": {APPLICATION: ("USAGE",)},
    }
    for table in sorted(tables):
        rights: dict[str, Sequence[str]] = {APPLICATION: _GOVERN if table in governed else _ALL}
        if table in _VERIFIER_READS:
            rights[VERIFIER] = (f"SELECT ({_VERIFIER_READS[table]})",)
        if table in _VERIFIER_WRITES:
            rights[VERIFIER] = ("SELECT", "INSERT", "UPDATE")
        if table == "keys_spentnonce":
            rights[VERIFIER] = ("SELECT", "INSERT", "DELETE")
        if table in _AUDITOR_READS:
            rights[AUDITOR] = (f"SELECT ({_AUDITOR_READS[table]})",)
        elif table in governed or (table.startswith("keys_") and table not in _AUDITOR_DOES_NOT_READ):
            rights[AUDITOR] = _READ
        declared[table] = rights
    return declared
