"""Say why a key, its secret or its rotation is refused something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

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
