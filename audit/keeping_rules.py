"""Write the SQL of the rules that keep the log: holds, periods, and what may be deleted at all.

The rules stand in triggers, and not only in the functions that delete: a right to delete is no right to delete this row.
"""

from audit.database import RETENTION

PRUNE_STEP = 65_536
"""Leaves in a complete subtree of level 16: what is pruned must be a multiple, so that its nodes still prove the rest."""

HOLD_LOCK = 0x6B6579_686F6C64  # "keyhold": an advisory lock between placing a hold and deleting
RETENTION_LOCK = 0x6B6579_6B656570  # "keykeep": between two settings of the period

# `search_path` is pinned wherever a function runs with its owner's rights; a change of this text needs a migration.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION audit_held(first bigint, upto bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.audit_hold
        WHERE lifted_at IS NULL AND int8range(from_leaf, upto_leaf) && int8range(first, upto)
    )
$$;

CREATE OR REPLACE FUNCTION audit_prunable(first bigint, upto bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((
            SELECT range_agg(int8range(from_leaf, upto_leaf)) @> int8range(first, upto)
            FROM public.audit_archive WHERE verified_at IS NOT NULL
        ), false)
        AND NOT public.audit_held(first, upto)
$$;

CREATE OR REPLACE FUNCTION audit_keeps_from() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    -- Without a period everything is kept, so nothing is older than this.
    SELECT coalesce((
        SELECT now() - make_interval(days => keep_days) FROM public.audit_retention
        WHERE outcome = 'accepted' ORDER BY decided_at DESC, id DESC LIMIT 1
    ), '-infinity')
$$;

CREATE OR REPLACE FUNCTION audit_keeps_private_from() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT now() - make_interval(days => private_days) FROM public.audit_retention
        WHERE outcome = 'accepted' ORDER BY decided_at DESC, id DESC LIMIT 1
    ), '-infinity')
$$;

CREATE OR REPLACE FUNCTION audit_hold_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.lifted_at IS NULL THEN
        -- Whoever deletes holds this lock in share mode until its commit: a hold waits for it, or is seen by it.
        PERFORM pg_advisory_xact_lock(HOLD_LOCK);
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL
        AND to_jsonb(NEW) - '{lifted_at,lifted_by}'::text[] = to_jsonb(OLD) - '{lifted_at,lifted_by}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a hold is placed, and lifted once: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_retention_rules() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    current public.audit_retention;
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pg_advisory_xact_lock(RETENTION_LOCK);
        SELECT * INTO current FROM public.audit_retention
        WHERE outcome = 'accepted' ORDER BY decided_at DESC, id DESC LIMIT 1;
        IF NEW.outcome = '' OR (
            NEW.outcome = 'accepted'
            AND (NEW.keep_days IS NULL OR NEW.keep_days >= current.keep_days)
            AND (NEW.private_days IS NULL OR NEW.private_days >= current.private_days)
        ) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a shorter period needs a second administrator' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.outcome = '' AND (NEW.outcome = 'refused' OR NEW.decided_by <> OLD.proposed_by)
        AND to_jsonb(NEW) - '{decided_at,decided_by,outcome}'::text[]
            = to_jsonb(OLD) - '{decided_at,decided_by,outcome}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a period is proposed, and decided once, by another: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
-- The rules stand here, and not only in the functions that delete: a right to delete is no right to delete this row.
DECLARE
    event bigint;
    place bigint;
    written timestamptz;
BEGIN
    IF TG_OP = 'DELETE' THEN
        event := (to_jsonb(OLD) ->> TG_ARGV[0])::bigint;
        place := (SELECT index FROM public.audit_leaf WHERE event_id = event);
        written := (SELECT recorded_at FROM public.audit_event WHERE id = event);
        IF current_user = 'RETENTION_ROLE' AND place IS NOT NULL
            AND (written IS NULL OR written < public.audit_keeps_from())
            AND public.audit_prunable(place, place + 1)
            AND EXISTS (
                SELECT FROM public.audit_event pruned
                WHERE pruned.txid = pg_current_xact_id() AND pruned.action = 'audit.log-pruned'
            )
        THEN
            RETURN OLD;
        END IF;
        -- What has no place yet is held by holds without an end.
        IF TG_TABLE_NAME = 'audit_private'
            AND NOT public.audit_held(coalesce(place, LAST_LEAF), coalesce(place, LAST_LEAF) + 1)
            AND (
                EXISTS (
                    SELECT FROM public.audit_event erasure, public.audit_event erased
                    WHERE erased.id = event
                        AND erasure.txid = pg_current_xact_id()
                        AND erasure.action = 'pii.erased'
                        AND convert_from(erasure.payload, 'UTF8')::jsonb #> '{details,events}' ? erased.uid::text
                )
                OR written < public.audit_keeps_private_from() AND EXISTS (
                    SELECT FROM public.audit_event expiry
                    WHERE expiry.txid = pg_current_xact_id()
                        AND expiry.action = 'pii.expired'
                        AND place >= (convert_from(expiry.payload, 'UTF8')::jsonb #>> '{details,from_leaf}')::bigint
                        AND place < (convert_from(expiry.payload, 'UTF8')::jsonb #>> '{details,upto_leaf}')::bigint
                )
            )
        THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_erase_private(erasure uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    named uuid[];
    erased bigint;
BEGIN
    SELECT array(SELECT jsonb_array_elements_text(convert_from(payload, 'UTF8')::jsonb #> '{details,events}')::uuid)
    INTO named
    FROM public.audit_event
    WHERE uid = erasure AND action = 'pii.erased' AND txid = pg_current_xact_id();
    IF named IS NULL THEN
        RAISE EXCEPTION 'an erasure needs its pii.erased event in the same transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(HOLD_LOCK);
    IF EXISTS (
        SELECT FROM public.audit_event event LEFT JOIN public.audit_leaf leaf ON leaf.event_id = event.id
        WHERE event.uid = ANY (named)
            AND public.audit_held(coalesce(leaf.index, LAST_LEAF), coalesce(leaf.index, LAST_LEAF) + 1)
    ) THEN
        RAISE EXCEPTION 'some of these events are held' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.audit_private private USING public.audit_event event
    WHERE private.event_id = event.id AND event.uid = ANY (named);
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END $$;

CREATE OR REPLACE FUNCTION audit_expire_private(expiry uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    details jsonb := (
        SELECT convert_from(payload, 'UTF8')::jsonb -> 'details' FROM public.audit_event
        WHERE uid = expiry AND action = 'pii.expired' AND txid = pg_current_xact_id()
    );
    first bigint := (details ->> 'from_leaf')::bigint;
    upto bigint := (details ->> 'upto_leaf')::bigint;
    expired bigint;
BEGIN
    IF first IS NULL OR upto IS NULL THEN
        RAISE EXCEPTION 'an expiry needs its pii.expired event in the same transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(HOLD_LOCK);
    IF public.audit_held(first, upto) THEN
        RAISE EXCEPTION 'some of these leaves are held' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.audit_private private USING public.audit_leaf leaf
    WHERE private.event_id = leaf.event_id AND leaf.index >= first AND leaf.index < upto;
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END $$;

CREATE OR REPLACE FUNCTION audit_prune(upto bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    first bigint := (SELECT min(index) FROM public.audit_leaf);
    pruned bigint;
BEGIN
    IF upto <= 0 OR upto % PRUNE_STEP <> 0 THEN
        RAISE EXCEPTION 'prune whole subtrees: upto must be a multiple of PRUNE_STEP'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM public.audit_checkpoint WHERE size >= upto) THEN
        RAISE EXCEPTION 'no checkpoint covers % leaves', upto USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(HOLD_LOCK);
    IF EXISTS (
        SELECT FROM public.audit_leaf leaf JOIN public.audit_event event ON event.id = leaf.event_id
        WHERE leaf.index < upto AND event.recorded_at >= public.audit_keeps_from()
    ) THEN
        RAISE EXCEPTION 'leaves before % are younger than the log keeps events', upto
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF NOT public.audit_prunable(coalesce(first, upto), upto) THEN
        RAISE EXCEPTION 'leaves before % are not all archived and verified, or are held', upto
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.audit_private private USING public.audit_leaf leaf
    WHERE private.event_id = leaf.event_id AND leaf.index < upto;
    DELETE FROM public.audit_event event USING public.audit_leaf leaf
    WHERE event.id = leaf.event_id AND leaf.index < upto;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    DELETE FROM public.audit_leaf WHERE index < upto;
    RETURN pruned;
END $$;
"""
for _name, _value in (
    ("RETENTION_ROLE", RETENTION),
    ("PRUNE_STEP", PRUNE_STEP),
    ("HOLD_LOCK", HOLD_LOCK),
    ("RETENTION_LOCK", RETENTION_LOCK),
    ("LAST_LEAF", 2**53 - 2),
):
    FUNCTIONS = FUNCTIONS.replace(_name, str(_value))
