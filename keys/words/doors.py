"""Say what is wrong with what somebody typed, and why what every door shares is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

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
