"""Say why a request, an approval or a rotation is refused."""

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
        "Approvals needed: %(required)s; people who could give one: %(there_are)s. Ask an administrator to name approvers."
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
