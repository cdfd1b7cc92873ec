"""Say in words what a code of a refusal means and what to do about it; every door uses these words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REQUESTS: Final[Mapping[str, Promise]] = {
    "already_decided": _(
        "You, or the colleague you stand in for, have already decided about this. One decision a person counts."
    ),
    "approver_is_beneficiary": _("You would receive this key, so somebody else has to decide about it."),
    "approver_is_last_editor": _("You were the last to edit this request, so somebody else has to decide about it."),
    "approver_is_requester": _("You asked for this key yourself, so somebody else has to decide about it."),
    "content_changed": _("The request was changed after you opened it. Read what is asked now, then decide again."),
    "content_does_not_match_digest": _(
        "The stored content does not fit its digest. Nothing was issued; tell an administrator."
    ),
    "factor_too_new": _(
        "The second factor you used was set up only recently. It can decide for others after a day; use an older one."
    ),
    "kind_not_allowed": _("The policy does not allow this kind of key here."),
    "signature_required": _("The policy asks for signed requests here: choose a kind of key that signs."),
    "scopes_must_be_signed": _(
        "For these scopes requests have to be signed; choose a kind of key that signs: %(scopes)s."
    ),
    "self_fetch_bearer_only": _(
        "Only a bearer key fetches its next version itself: the secret of this kind never travels."
    ),
    "no_kind_that_signs": _("If every request must be signed, the policy has to allow a kind of key that signs."),
    "no_public_key_here": _("Only a key pair (Ed25519) has a public key."),
    "private_key_refused": _(
        "This is a private key. It was not kept, but it has travelled: make a new pair, and send the public key only."
    ),
    "not_an_ed25519_key": _("This is not an Ed25519 public key."),
    "public_key_form": _("This cannot be read as a public key: PEM, JWK or OpenSSH is."),
    "public_key_used": _("An earlier version has this public key. A new version needs a new pair."),
    "not_the_approved_key": _("The approvers saw another public key, and this version takes that one only."),
    "longer_than_authorised": _("A secret cannot live longer than the key is authorised: at most %(most)s days."),
    "network_is_everywhere": _(
        "“%(value)s” means every address. Leave the field empty if any address may use the key."
    ),
    "networks_required": _("The policy asks for at least one network from which the key may be used."),
    "no_policy": _("There is no policy for this service in this environment yet. Ask an administrator to set one."),
    "not_a_network": _("“%(value)s” is not a network. Write it like 10.20.0.0/16 or 2001:db8::/48."),
    "ipv4_mapped": _("“%(value)s” is an IPv4 address in IPv6 clothes. Write it as IPv4."),
    "not_an_approver": _("You are not an approver of this service, nor of the group its policy names."),
    "not_enough_approvers": _(
        "This needs %(required)s approvals and only %(there_are)s people could give one. Ask an administrator to name approvers."
    ),
    "not_narrower": _("This would allow more than was asked. An approver can only take away."),
    "not_sealed_yet": _("This is on record and not sealed yet. Sealing takes a moment; then the receipt can be had."),
    "receipt_of_others": _("A receipt is for whoever asked for the key, would receive it or decided about it."),
    "not_the_requester": _("Only whoever asked for it can do this."),
    "not_your_service": _("A key that verifies keys is only for a service of the same team."),
    "nothing_narrowed": _("Nothing was taken away. Approve it as asked, or choose what to leave out."),
    "nudged_already": _("The approvers were reminded already. You can remind them twice a day."),
    "only_for_verifying_keys": _("Only a key with the scope keys:verify names a service that it verifies."),
    "must_be_own_environment": _("It verifies keys of its own environment only: %(environment)s."),
    "over_policy_limit": _("The policy allows at most %(most)s days."),
    "policy_forbids_now": _(
        "The policy became stricter and no longer allows this. Ask the requester to edit the request."
    ),
    "programs_never_approve": _("Programs never approve. A person has to decide."),
    "renewal_waiting": _("A renewal of this key is already waiting for approval."),
    "renewals_are_not_edited": _("A renewal is not edited. Withdraw it and ask for another."),
    "renewals_keep_scopes": _(
        "A renewal keeps its scopes, networks and who takes its next secrets; only its time can be shortened."
    ),
    "request_lapsed": _("The time to decide about this request is over."),
    "request_not_lapsed": _("This request has not lapsed."),
    "request_not_open": _("This request is no longer open."),
    "request_not_pending": _("This request does not wait for a decision now."),
    "scope_missing": _("This key does not have the scope %(scope)s."),
    "already_retired": _("The old version has ended already."),
    "compromised_stays_ended": _("A secret that others may know does not come back."),
    "may_not_rotate": _("Only the owner team, administrators and responders replace the secret of this key."),
    "knows_the_old_secret": _(
        "You were shown the secret that is replaced because others know it: somebody else has to stop that."
    ),
    "may_not_stop_replacement": _(
        "This secret is replaced because others know it: a lead of the owning team, a responder or an administrator stops that."
    ),
    "nothing_to_retire": _("No old version of this key is draining."),
    "nothing_to_stop": _("No rotation of this key waits to be taken up."),
    "nothing_to_undo": _("There is no rotation of this key to undo."),
    "only_people_rotate": _("Only people start, stop and undo rotations."),
    "rotation_open": _("A rotation of this key is under way. Finish or undo it first."),
    "undo_too_late": _("The old version has ended; it cannot come back."),
    "wrong_rotation_state": _("The rotation is %(state)s and cannot become %(wanted)s."),
    "self_fetch_not_allowed": _("The policy does not let keys fetch their own next version here."),
    "self_fetch_needs_networks": _(
        "Name the networks of the client first: only from there may it fetch its own next version."
    ),
    "overlap_too_long": _("By policy an old secret works on for at most %(most)s hours."),
    "unknown_overlap": _("An old secret works on for one of: %(overlaps)s."),
    "interval_never_reached": _(
        "Each secret is replaced before it ends anyway: choose at most %(most)s days, or none."
    ),
    "interval_within_overlap": _(
        "The old secret would still work when the next one is due. Replace it less often, or let it end sooner."
    ),
    "ticket_required": _("The policy asks for a ticket that looks like %(pattern)s."),
    "unknown_environment": _("There is no such environment."),
    "unknown_limit": _("There is no such limit."),
    "unknown_scope": _("This service has no such scope, or it is being retired."),
    "unknown_service": _("There is no such service, or it is being retired and takes no new keys."),
    "assertion_refused": _("The passkey's signature was not accepted. Try again, or use a code."),
    "malformed_assertion": _("The passkey's answer could not be read. Try again, or use a code."),
    "statement_does_not_fit": _(
        "What was signed is not this decision about this content. Read the request again and sign anew."
    ),
    "statement_spent_or_expired": _("The signature was used already, or took longer than five minutes. Sign again."),
    "unknown_statement": _("The signature belongs to nothing that you were asked to sign. Sign again."),
}

KEYS: Final[Mapping[str, Promise]] = {
    "already_revoked": _("This key was revoked already."),
    "authorisation_ends_first": _("No new version could live longer than this one. Ask for a renewal of the key."),
    "authorisation_over": _("The key's authorisation has ended. Ask for a renewal or a new key."),
    "claim_misused": _(
        "This secret was claimed before, and not by this session: the version is suspended and everyone concerned is told."
    ),
    "claimed_already": _("This secret was handed over already. If it was lost, issue a new version."),
    "claim_lapsed": _("The time to claim this secret is over. Issue a new version and claim that one."),
    "handover_needs_another": _("You offered this key, so somebody else of the receiving team has to accept it."),
    "key_revoked": _("This key was revoked. Ask for a new one."),
    "emergency_needs_a_filter": _("Say which keys: choose a team, a service, an environment, a person, or list them."),
    "list_differs": _("This is not the list that was shown. Look at the list again, then confirm it."),
    "may_not_act_on_many": _("Only administrators and responders act on many keys at once."),
    "unknown_key": _("There is no such key."),
    "may_not_name_recipient": _("Only a lead of the owning team or an administrator says who receives its secrets."),
    "recipient_needs_another": _(
        "You do not lead the owning team: somebody else has to name you as the one who receives its secrets."
    ),
    "recipient_already": _("This person receives its secrets already."),
    "may_not_hand_over": _(
        "Only a lead of the owning team, the person who receives the key, or an administrator can hand it over."
    ),
    "may_not_reinstate": _("Only a lead of the owning team, an administrator or a responder can reinstate a key."),
    "may_not_stop_key": _("Only the owning team, an administrator or a responder can stop this key."),
    "not_lead_of_receiving_team": _("Only a lead of the receiving team can answer."),
    "not_the_recipient": _("The secret goes to one person only, the one named in the approved request."),
    "nothing_to_reinstate": _("No version of this key is suspended."),
    "nothing_to_suspend": _("This key has no version that could be suspended."),
    "only_people_claim": _("Only a person can claim a secret, in a browser."),
    "already_activated": _("The new version works already. The old secret brings no other."),
    "fetch_by_people_only": _(
        "The old secret may be known to others, so it brings no new one. A person claims the new one in a browser."
    ),
    "fetch_contested": _(
        "The next secret was asked for with two tokens. A person claims it in a browser; the old secret brings none."
    ),
    "fetched_by_another": _(
        "Another token has the next secret already. The rotation was stopped, that secret is dead, and the owners are told."
    ),
    "network_not_allowed": _("This address is in none of the networks from which the key may be used."),
    "no_rotation": _("No new version of this key waits. Ask again later."),
    "nothing_to_activate": _("This version was not fetched, or its time is over. Ask how the rotation stands."),
    "nothing_to_take_back": _("No client holds the next secret of this key."),
    "only_this_key_fetches": _("A secret brings the next one of its own key only, while that key lives."),
    "rotation_not_due": _("The next version is not due yet."),
    "self_fetch_not_approved": _("It was not approved that this key fetches its own next version."),
    "version_fetched": _(
        "The client fetched this secret itself. Take it back first; then another one waits to be claimed."
    ),
    "only_people_hand_over": _("Only people can hand keys over."),
    "only_people_reinstate": _("Only people can reinstate keys."),
    "reinstate_needs_another": _("You suspended this production key, so somebody else has to reinstate it."),
    "transfer_not_open": _("This offer was answered or taken back already, or its time is over."),
    "transfer_out_of_date": _("The key changed after it was offered. Have it offered again."),
    "transfer_waiting": _("This key is already offered to a team that has not answered yet."),
    "version_not_claimable": _("This version cannot be claimed: it is %(state)s."),
    "version_waits_for_claim": _("A version already waits to be claimed. Claim that one."),
    "wrong_version_state": _("This version is %(state)s, which does not allow that."),
}

CATALOGUE: Final[Mapping[str, Promise]] = {
    "already_retired": _("It is retired already."),
    "bad_pattern": _("This is not a pattern that can be used safely."),
    "no_approvers": _("Nobody could give these approvals. Name approvers first."),
    "not_a_scope_name": _("A scope is named in lower-case letters, digits, colons, dots, hyphens and underscores."),
    "policy_changed": _("Somebody changed this policy meanwhile. Look at the present rules and decide again."),
    "proposal_waiting": _("A proposal for this policy already waits for a second administrator."),
    "second_administrator_needed": _("Weaker rules for production need a second administrator."),
    "unknown_kind": _("There is no such kind of key."),
}

PEOPLE: Final[Mapping[str, Promise]] = {
    "administrators_only": _("Only administrators can name a lead."),
    "another_administrator_can": _("Another administrator could reset the factors in the ordinary way: %(others)s."),
    "already_delegate": _("This colleague already stands in for you in that time."),
    "already_member": _("This person is a member of the team already."),
    "delegation_over": _("This delegation is over."),
    "factor_confirmed": _("This authenticator is confirmed already."),
    "factor_removed": _("This factor was removed."),
    "invitation_needed": _("A first factor is set up by an invitation. Ask an administrator for one."),
    "invitation_over": _("This invitation is over. Ask for a new one."),
    "invitation_used": _("This invitation was used already."),
    "last_administrator": _("This is the last administrator; somebody has to remain."),
    "last_factor": _("This is your last factor. Set up another one first."),
    "locked": _("Too many wrong codes. Wait half an hour, then try again."),
    "missing": _("Confirm that it is you: use your passkey or enter a code."),
    "needs_a_second_administrator": _("You proposed this, so a second administrator has to decide."),
    "no_time_zone": _("The time needs a zone."),
    "not_a_lead": _("Only a lead of the team or an administrator can do this."),
    "not_active": _("This account is not active."),
    "not_an_administrator": _("Only administrators can do this."),
    "not_an_auditor": _("Only auditors and administrators read the log."),
    "not_in_owner_team": _("Not a member of the team that owns the key."),
    "not_the_sender": _("Only the part that sends mail can make this link."),
    "device_answered": _("This machine was answered already."),
    "device_code_form": _("A code has eight letters and no vowels, such as BCDF-GHJK."),
    "device_row_changed": _(
        "This sign-in was changed outside of Keystead and opens nothing. Begin again, and tell an administrator."
    ),
    "device_sign_in_off": _("No command line is signed in here: the operator turned it off."),
    "device_sign_in_over": _("The time is over. Begin again in your terminal."),
    "browser_only": _("Do this in a browser: a device that acts for you may not."),
    "too_many_device_sign_ins": _("Too many machines wait to be signed in. Try again in a few minutes."),
    "not_your_own": _("This is somebody else's."),
    "not_your_own_roles": _("Nobody gives roles to themselves. Ask another administrator or lead."),
    "erasure_needs_another": _("You ended this person's place, so another administrator has to erase them."),
    "not_yourself": _("This cannot be done to oneself. Ask another administrator."),
    "passkey_known": _("This passkey is registered already."),
    "passkey_refused": _("The passkey was not accepted."),
    "people_only": _("Only people can do this."),
    "person_active": _("This person is active already."),
    "person_exists": _("There is a person with this address already."),
    "person_has_joined": _("This person has joined already."),
    "person_not_active": _("This person is not active."),
    "reset_already_proposed": _("A reset for this person was proposed already."),
    "reset_decided": _("This proposal was decided already."),
    "reset_lapsed": _("The time to decide about this proposal is over."),
    "reset_over": _("This link is over. Ask for a new one."),
    "shell_only": _("This can be done only at the server's shell."),
    "span_empty": _("The end has to come after the beginning, and in the future."),
    "span_too_long": _("A delegation lasts at most %(most_days)s days."),
    "step_up_required": _("Confirm that it is you: use your passkey or enter a code."),
    "team_has_requests": _("The team has open requests. Have them decided or withdrawn first."),
    "team_owns_keys": _("The team owns living keys. Hand them over or revoke them first."),
    "team_owns_services": _("The team owns services. Give them to another team first."),
    "team_retired": _("This team is retired."),
    "too_many_factors": _("You have as many factors as one can have. Remove one first."),
    "unknown_role": _("There is no such role."),
    "unknown_team": _("There is no such team."),
    "used": _("This code was used already. Wait for the next one."),
    "wrong": _("This code is not right."),
    "wrong_code": _("This code is not right."),
    "wrong_password": _("This password is not right."),
}

RETENTION: Final[Mapping[str, Promise]] = {
    "erasure_held": _("Some of what names this person is held: %(holds)s. Lift the hold first, or wait for its end."),
    "hold_lifted_already": _("This hold was lifted already."),
    "hold_needs_another": _("You placed this hold, so another administrator has to lift it."),
    "hold_range_empty": _("There is nothing in this span that could be held."),
    "hold_range_pruned": _("This range was archived and left the database; the log begins at leaf %(first)s."),
    "leaves_or_times": _("Name leaves or times, not both."),
    "person_erased": _("This person was erased."),
    "person_still_active": _("This person has a place here. Deactivate them first."),
    "retention_changed": _("Somebody changed the periods meanwhile. Look at the present ones and decide again."),
    "retention_same": _("These periods are in force already."),
    "retention_waiting": _("Shorter periods already wait for a second administrator."),
    "second_administrator_for_periods": _("You proposed this, so another administrator has to accept it."),
}

INPUT: Final[Mapping[str, Promise]] = {
    "audit_behind": _(
        "Nothing can be granted right now, because the audit log is not being sealed. Nothing was changed. Stopping keys, signing in and "
        "verification work as always; administrators see on the status page what to do."
    ),
    "nonce_store_full": _("So many signatures are remembered that no more fit. Nothing was accepted; try again in a moment."),
    "nonce_store_young": _(
        "What signatures were used is not known far enough back. Nothing was accepted; sign anew after a moment."
    ),
    "nonce_store_unavailable": _(
        "Whether this signature was used before cannot be known right now. Nothing was accepted; try again in a moment."
    ),
    "audit_unsealed": _(
        "The audit log was not sealed in time, so the secret was not handed over. Your claim is not spent: try again in a moment."
    ),
    "log_can_be_followed": _("The lost end of the log is back: bring the rows up to it instead of answering by hand."),
    "log_interrupted": _(
        "This database was restored and is behind its log. No key is valid until its rows follow what the log says."
    ),
    "log_not_interrupted": _("This database is not behind its log."),
    "log_not_recovered": _("The lost end of the log is not back yet: audit_sealer --recover takes it up."),
    "log_origin_is_new": _("A new log has begun, so nobody knows what was lost. A person must answer for the rows."),
    "row_does_not_follow": _("The row %(row)s could not be brought to what the log says, so nothing was changed."),
    "busy_retry": _("Somebody else is changing the same thing. Nothing was changed by you; try again in a moment."),
    "changed_meanwhile": _("Somebody else changed this at the same moment. Look at it again and decide anew."),
    "contains_secret": _("This text holds something that looks like a secret. Take it out; if it is a real one, report the leak."),
    "csrf_failed": _("The page was open for too long. Reload it and send the form again."),
    "idempotency_in_progress": _("The same call is still being answered. Ask again in a moment."),
    "invalid_input": _("Some fields need another look."),
    "key_suspended": _("Somebody stopped this key on purpose. It has to be reinstated before it gets a new secret."),
    "passkey_clone_suspected": _("This passkey's counter went back, which a genuine one never does. Tell a responder."),
    "recipient_approved": _("Whoever approved this key cannot receive it."),
    "recipient_left": _("The team or the person who would receive this key is gone. Ask for a new request."),
    "renewal_out_of_date": _("The key changed since this renewal was asked for. Ask for a new one."),
    "renewal_shortens": _("The key is authorised longer than that already."),
    "service_in_use": _("Its team decides who approves, and living production keys or requests hang on it. End those first."),
    "service_retiring": _("The service, or a scope in this request, is being retired."),
    "log_unwritable": _("This cannot be put on record right now, so it was not done. Tell an administrator."),
    "not_a_slug": _("Use lower-case words joined by single hyphens."),
    "not_an_email": _("This is not an e-mail address."),
    "not_found": _("There is nothing here."),
    "not_text": _("This is not text."),
    "other_environment": _("This key belongs to another environment."),
    "out_of_range": _("It has to lie between %(least)s and %(most)s."),
    "page_too_old": _("This page was open for too long. Look at what it shows now, then decide again."),
    "required": _("This is needed."),
    "session_changed": _("Your session changed meanwhile. Try again."),
    "taken": _("This is taken already. Choose another."),
    "too_long": _("At most %(most)s characters."),
    "too_much_at_once": _("That is more text than one step can put on record. Shorten it."),
    "too_many": _("At most %(most)s of them."),
    "too_short": _("At least %(least)s characters."),
    "unknown_choice": _("This is not one of the choices."),
    "unseen_characters": _("There are characters in it that cannot be seen. Type it anew instead of pasting."),
}  # fmt: skip

SEARCHES: Final[Mapping[str, Promise]] = {
    "not_a_seed": _("A seed has at most 64 letters, digits, dots, hyphens and underscores."),
    "not_your_search": _(
        "Somebody else saved this search, so only they can change it. Save it under a name of your own."
    ),
    "nothing_sealed": _("Nothing is sealed yet, and a sample is drawn from what is. Try again in a moment."),
    "nothing_to_sample": _("No sealed event fits this search, so there is nothing to draw from."),
    "nothing_to_save": _("This search filters nothing. Choose a filter first."),
    "only_people_keep_searches": _("Only people save searches."),
    "population_too_large": _("This search fits more than %(most)s events. Narrow it, for example to a shorter span."),
    "search_removed": _("This saved search was removed."),
}

EXPORTS: Final[Mapping[str, Promise]] = {
    "export_ended": _("This export has ended already; there is nothing to cancel."),
    "export_of_others": _("Only whoever asked for it, or an administrator, cancels an export."),
    "export_gave_up": _("It was tried several times and never finished. Ask again; if that fails too, tell an administrator."),
    "export_gone": _("The file is not there any more. Ask for it again."),
    "export_no_space": _("There is no room for the file. Tell an administrator, then ask again."),
    "export_not_ready": _("The file is not finished yet."),
    "export_not_sealed": _("The log was not sealed so far. Look at the health page, then ask again."),
    "export_not_whole": _("A part of this range left the database. It is in the archive."),
    "export_too_large": _("More than %(most)s events are made into a file in the background. Ask for one and fetch it later."),
    "export_unwritable": _("The file could not be written. Tell an administrator, then ask again."),
    "no_range": _("A range begins at 0 or later, and ends after it begins."),
    "not_sealed_so_far": _("The log holds %(size)s sealed events so far."),
    "private_is_for_people": _("Only people may ask for names, addresses and free text of others."),
    "range_is_for_people": _("A program takes out what happened in its own environment, and never whole ranges of the log."),
    "too_many_exports": _("You have %(most)s files in the making. Wait until one is done."),
}  # fmt: skip

WEBHOOKS: Final[Mapping[str, Promise]] = {
    "address_not_public": _("This address is not on the public internet. Webhooks are sent nowhere else."),
    "address_without_sign_in": _("Write the address without a user, a password or a # part."),
    "https_only": _("Webhooks are sent by https only."),
    "not_a_web_address": _("This is not a web address. Write it like https://hooks.example.com/keystead."),
    "only_people_change_webhooks": _("Only people say where events are sent."),
    "webhook_disabled": _("This webhook is disabled. Enable it first."),
    "chat_has_no_secret": _("A chat has no secret: nothing signs what is said there."),
    "feed_removed": _("This address was removed already."),
    "not_your_team": _("You are not a member of this team."),
    "webhook_removed": _("This webhook was removed."),
}

SENTENCES: Final[Mapping[str, Promise]] = {
    **REQUESTS,
    **KEYS,
    **CATALOGUE,
    **PEOPLE,
    **RETENTION,
    **SEARCHES,
    **EXPORTS,
    **WEBHOOKS,
    **INPUT,
}


def sentence_for(code: str, params: Mapping[str, object] | None = None) -> str:
    """Explain `code`, or return nothing for a code that has no words (a test keeps that from happening)."""
    words = str(SENTENCES.get(code, ""))
    try:
        return words % params if params else words
    except (KeyError, TypeError, ValueError):
        # What explains an error must not fail itself when a code gained or lost a parameter.
        return words
