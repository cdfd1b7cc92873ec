"""Guard every governed table, number requests and keys, and let what is set once stay set."""

from django.db import migrations

from audit.governed import GuardTable

SET_ONCE = """
CREATE FUNCTION keys_set_once() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY TG_ARGV LOOP
        IF to_jsonb(OLD) -> name NOT IN ('null'::jsonb, '""'::jsonb) AND to_jsonb(OLD) -> name <> to_jsonb(NEW) -> name THEN
            RAISE EXCEPTION '%.% is set once', TG_TABLE_NAME, name USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER keys_key_set_once BEFORE UPDATE ON keys_managedkey FOR EACH ROW
    EXECUTE FUNCTION keys_set_once('number', 'service_id', 'environment_id', 'origin', 'kind', 'request_id',
        'public_key', 'scopes', 'revoked_at', 'revoked_reason', 'revoked_by');
ALTER TABLE keys_managedkey ENABLE ALWAYS TRIGGER keys_key_set_once;
CREATE TRIGGER keys_version_set_once BEFORE UPDATE ON keys_keyversion FOR EACH ROW
    EXECUTE FUNCTION keys_set_once('managed_key_id', 'sequence', 'kid', 'digest', 'digest_algorithm', 'public_key', 'claimed_at',
        'claimed_by_id', 'activated_at', 'ended_at');
ALTER TABLE keys_keyversion ENABLE ALWAYS TRIGGER keys_version_set_once;
CREATE TRIGGER keys_environment_set_once BEFORE UPDATE ON keys_environment FOR EACH ROW
    EXECUTE FUNCTION keys_set_once('tag', 'environment_class');
ALTER TABLE keys_environment ENABLE ALWAYS TRIGGER keys_environment_set_once;
CREATE TRIGGER keys_policy_set_once BEFORE UPDATE ON keys_policy FOR EACH ROW
    EXECUTE FUNCTION keys_set_once('service_id', 'environment_id', 'version', 'approvals_required',
        'service_approvals_required', 'max_cryptoperiod_days', 'max_authorised_days', 'networks_required',
        'kinds', 'self_fetch_allowed', 'lapse_days', 'claim_hours', 'longest_overlap_hours', 'unused_days',
        'signature_required', 'signed_scopes', 'signature_window_seconds');
ALTER TABLE keys_policy ENABLE ALWAYS TRIGGER keys_policy_set_once;
"""
DROP_SET_ONCE = "DROP FUNCTION keys_set_once() CASCADE"

TERMINAL = """
CREATE FUNCTION keys_terminal_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND OLD.state = ANY (TG_ARGV) THEN
        RAISE EXCEPTION 'a % that is % stays so', TG_TABLE_NAME, OLD.state USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keys_request_terminal BEFORE UPDATE ON keys_keyrequest FOR EACH ROW
    EXECUTE FUNCTION keys_terminal_states('approved', 'denied', 'withdrawn', 'lapsed');
ALTER TABLE keys_keyrequest ENABLE ALWAYS TRIGGER keys_request_terminal;
CREATE TRIGGER keys_version_terminal BEFORE UPDATE ON keys_keyversion FOR EACH ROW
    EXECUTE FUNCTION keys_terminal_states('destroyed');
ALTER TABLE keys_keyversion ENABLE ALWAYS TRIGGER keys_version_terminal;
CREATE TRIGGER keys_rotation_terminal BEFORE UPDATE ON keys_rotation FOR EACH ROW
    EXECUTE FUNCTION keys_terminal_states('completed', 'aborted', 'rolled-back');
ALTER TABLE keys_rotation ENABLE ALWAYS TRIGGER keys_rotation_terminal;
CREATE FUNCTION keys_ended_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('deactivated', 'compromised') AND NEW.state IN ('pre-activation', 'active', 'suspended') THEN
        RAISE EXCEPTION 'an ended version never lives again' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keys_version_ended BEFORE UPDATE ON keys_keyversion FOR EACH ROW EXECUTE FUNCTION keys_ended_versions();
ALTER TABLE keys_keyversion ENABLE ALWAYS TRIGGER keys_version_ended;
"""
DROP_TERMINAL = "DROP FUNCTION keys_terminal_states() CASCADE; DROP FUNCTION keys_ended_versions() CASCADE"

# Whatever changes what a verifier holds in memory writes down which key to read again, whoever did it: an operation, a
# restore, or somebody at a prompt. By statement, so that ten thousand versions cost one insert.
CHANGES = """
CREATE FUNCTION keys_versions_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO keys_verificationchange (managed_key_id) SELECT DISTINCT managed_key_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER keys_version_added AFTER INSERT ON keys_keyversion REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION keys_versions_changed();
CREATE TRIGGER keys_version_changed AFTER UPDATE ON keys_keyversion REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION keys_versions_changed();
CREATE TRIGGER keys_version_removed AFTER DELETE ON keys_keyversion REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION keys_versions_changed();
CREATE FUNCTION keys_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO keys_verificationchange (managed_key_id) SELECT id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER keys_key_changed AFTER UPDATE ON keys_managedkey REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION keys_keys_changed();
CREATE FUNCTION keys_policies_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO keys_verificationchange (managed_key_id)
    SELECT k.id FROM keys_managedkey k JOIN after_it n ON n.id = k.policy_id JOIN before_it o ON o.id = n.id
    WHERE n.brownouts <> o.brownouts;
    RETURN NULL;
END $$;
CREATE TRIGGER keys_policy_changed AFTER UPDATE ON keys_policy REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION keys_policies_changed();
CREATE FUNCTION keys_policies_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- How old a signature may be is kept with each version that signs; what a secret alone opens is asked of the catalogue.
    INSERT INTO keys_verificationchange (managed_key_id)
    SELECT k.id FROM keys_managedkey k JOIN added n ON n.service_id = k.service_id AND n.environment_id = k.environment_id
    WHERE k.kind <> 'bearer' AND k.revoked_at IS NULL
    UNION ALL SELECT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER keys_policy_added AFTER INSERT ON keys_policy REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keys_policies_added();
CREATE FUNCTION keys_names_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO keys_verificationchange (managed_key_id) VALUES (NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER keys_service_changed AFTER INSERT OR UPDATE OR DELETE ON keys_service
    FOR EACH STATEMENT EXECUTE FUNCTION keys_names_changed();
CREATE TRIGGER keys_environment_changed AFTER INSERT OR UPDATE OR DELETE ON keys_environment
    FOR EACH STATEMENT EXECUTE FUNCTION keys_names_changed();
CREATE TRIGGER keys_team_changed AFTER INSERT OR UPDATE OR DELETE ON keys_team
    FOR EACH STATEMENT EXECUTE FUNCTION keys_names_changed();
ALTER TABLE keys_keyversion ENABLE ALWAYS TRIGGER keys_version_added;
ALTER TABLE keys_keyversion ENABLE ALWAYS TRIGGER keys_version_changed;
ALTER TABLE keys_keyversion ENABLE ALWAYS TRIGGER keys_version_removed;
ALTER TABLE keys_managedkey ENABLE ALWAYS TRIGGER keys_key_changed;
ALTER TABLE keys_policy ENABLE ALWAYS TRIGGER keys_policy_changed;
ALTER TABLE keys_policy ENABLE ALWAYS TRIGGER keys_policy_added;
ALTER TABLE keys_service ENABLE ALWAYS TRIGGER keys_service_changed;
ALTER TABLE keys_environment ENABLE ALWAYS TRIGGER keys_environment_changed;
ALTER TABLE keys_team ENABLE ALWAYS TRIGGER keys_team_changed;
"""
DROP_CHANGES = (
    "DROP FUNCTION keys_versions_changed() CASCADE; DROP FUNCTION keys_keys_changed() CASCADE;"
    " DROP FUNCTION keys_policies_changed() CASCADE; DROP FUNCTION keys_policies_added() CASCADE;"
    " DROP FUNCTION keys_names_changed() CASCADE"
)


class Migration(migrations.Migration):
    dependencies = [("keys", "0001_initial"), ("audit", "0002_protection")]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE keys_key_number START 1001", "DROP SEQUENCE keys_key_number"),
        migrations.RunSQL("CREATE SEQUENCE keys_request_number START 1001", "DROP SEQUENCE keys_request_number"),
        GuardTable(
            "keys_person",
            "person",
            "id created_at email name roles is_active deactivated_at erased_at".split(),
        ),
        GuardTable(
            "keys_team",
            "team",
            "id created_at slug name description mail_to retired_at".split(),
        ),
        GuardTable(
            "keys_membership",
            "membership",
            "id created_at team_id person_id roles ended_at".split(),
        ),
        GuardTable(
            "keys_delegation",
            "delegation",
            "id created_at person_id delegate_id starts_at ends_at ended_at".split(),
        ),
        GuardTable(
            "keys_service",
            "service",
            "id created_at slug name description owner_team_id retires_at retired_at".split(),
        ),
        GuardTable(
            "keys_scope",
            "scope",
            "id created_at service_id name description access risk retires_at retired_at".split(),
        ),
        GuardTable(
            "keys_environment",
            "environment",
            "id created_at tag name environment_class max_staleness_ms".split(),
        ),
        GuardTable(
            "keys_keytemplate",
            "template",
            "id created_at service_id name description scopes retired_at".split(),
        ),
        GuardTable(
            "keys_totpdevice",
            "totp-device",
            "id name confirmed user_id created_at confirmed_at removed_at approves_from after_reset".split(),
        ),
        GuardTable(
            "keys_passkey",
            "passkey",
            "id name confirmed credential_type credential_id public_key transports backup_eligible aaguid credential_id_sha256 discoverable user_id created_at removed_at approves_from after_reset".split(),
        ),
        GuardTable(
            "keys_factorreset",
            "factor-reset",
            "id created_at person_id proposed_by_id reason lapses_at decided_by_id decided_at is_confirmed".split(),
        ),
        GuardTable(
            "keys_invitation",
            "invitation",
            "id created_at person_id purpose invited_by_id expires_at accepted_at revoked_at".split(),
        ),
        GuardTable(
            "keys_policy",
            "policy",
            "id created_at service_id environment_id version approvals_required service_approvals_required approver_team_id max_cryptoperiod_days max_authorised_days networks_required ticket_pattern kinds self_fetch_allowed lapse_days claim_hours longest_overlap_hours deadline_wins brownouts unused_days signature_required signed_scopes signature_window_seconds".split(),
        ),
        GuardTable(
            "keys_policyproposal",
            "policy-proposal",
            "id created_at service_id environment_id base_version rules weakened proposed_by_id decided_by_id decided_at outcome".split(),
        ),
        GuardTable(
            "keys_managedkey",
            "key",
            "id created_at number name owner_team_id recipient_id consumer service_id environment_id policy_id request_id origin kind public_key scopes networks limits rotation self_fetch cryptoperiod_days authorised_until verifies_service_id verifies_environment_id revoked_at revoked_reason revoked_by".split(),
        ),
        GuardTable(
            "keys_keyversion",
            "version",
            "id created_at managed_key_id sequence kid state digest_algorithm public_key last4 claim_until claimed_at claimed_by_id activated_at expires_at retire_at suspended_at suspended_reason suspended_by ended_at ended_reason".split(),
        ),
        GuardTable(
            "keys_keytransfer",
            "transfer",
            "id created_at managed_key_id from_team_id to_team_id offered_by_id decided_by_id decided_at outcome comment lapses_at".split(),
        ),
        GuardTable(
            "keys_keyrequest",
            "request",
            "id created_at number state requester_id requested_by_key_id recipient_id last_editor_id owner_team_id service_id environment_id policy_id renews_id content digest revision purpose purpose_salt question lapses_at decided_at".split(),
        ),
        GuardTable(
            "keys_approval",
            "approval",
            "id created_at request_id person_id seat_id decision digest on_service_side comment method statement assertion voided_at".split(),
        ),
        GuardTable(
            "keys_rotation",
            "rotation",
            "id created_at managed_key_id state cause overlap due_at old_version_id new_version_id started_by fetch_token prepared_at handed_over_at activated_at ended_at ended_reason".split(),
        ),
        GuardTable(
            "keys_savedsearch",
            "saved-search",
            "id created_at person_id name query is_shared removed_at".split(),
        ),
        GuardTable(
            "keys_webhookendpoint",
            "webhook",
            "id created_at owner_team_id url description form kinds secret_set_at previous_until disabled_at disabled_reason removed_at".split(),
        ),
        GuardTable(
            "keys_quietchoice",
            "quiet-choice",
            "id created_at person_id needs reminders changes news".split(),
        ),
        GuardTable(
            "keys_calendarfeed",
            "calendar-feed",
            "id created_at person_id team_id removed_at".split(),
        ),
        GuardTable("keys_jobschedule", "schedule", "id created_at kind period_seconds".split()),
        migrations.RunSQL(SET_ONCE, DROP_SET_ONCE),
        migrations.RunSQL(TERMINAL, DROP_TERMINAL),
        migrations.RunSQL(CHANGES, DROP_CHANGES),
    ]
