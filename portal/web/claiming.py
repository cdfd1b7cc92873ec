"""Hand a secret over, once: explain, ask for presence, show it in the answer to a POST and nowhere else."""

from __future__ import annotations

import re

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Gone, Invalid
from keys.lifecycle.claiming import Claim, ClaimOutcome, claim_secret, intend_claim
from keys.lifecycle.inventory import is_fetched, line_of
from keys.lifecycle.issuance import end_of
from keys.lifecycle.minting import approved_key, shown_key
from keys.lifecycle.rotation import issue_new_version
from keys.lifecycle.rotation_course import longest_overlap
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.policy.rotation_plan import plan_in
from keys.policy.rules import may_claim
from keys.states import KeyKind, VersionState
from keys.words import sentence_for
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.doors import form_page
from portal.web.finding import key_by_number, open_rotation_of
from portal.web.key_acts import enforce_but_for_step_up
from portal.web.rotation_words import plan_words
from portal.web.snippets import snippets_for

_NOT_A_VARIABLE = re.compile(r"[^A-Z0-9]+")


@form_page
def claim(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Explain what is about to happen; on POST hand the secret over."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_claim, key, before=intend_claim, actor=actor)
    version = _version_to_claim(key, http, actor=actor)
    if http.method != "POST":
        return _explained(http, key, version, actor=actor)
    problem = confirm(http, "claim")
    if problem is not None:
        return _explained(http, key, version, actor=actor, problem=problem)
    try:
        claimed = claim_secret(version, public_key=http.POST.get("public_key", ""), actor=actor_of(http))
    except Invalid as invalid:
        # What was typed is not shown again: it may be a private key.
        code, params = invalid.fields["public_key"]
        return _explained(http, key, version, actor=actor, wrong_key=sentence_for(code, params))
    return _answer(http, key, claimed, actor=actor)


def _version_to_claim(key: ManagedKey, http: HttpRequest, *, actor: Actor) -> KeyVersion:
    """Find the version that the form was made for; a repeated form names the version it had, not a newer one."""
    rows = KeyVersion.objects.visible_to(actor).filter(managed_key=key).order_by("-sequence")
    asked = http.POST.get("version", "")
    version = (
        rows.filter(sequence=int(asked)).first() if asked.isascii() and asked.isdigit() and len(asked) < 9 else None
    )
    version = version or rows.first()
    if version is None:
        raise Gone("claim_lapsed")
    return version


def _explained(
    http: HttpRequest,
    key: ManagedKey,
    version: KeyVersion,
    *,
    actor: Actor,
    problem: StepUpProblem | None = None,
    wrong_key: str = "",
) -> HttpResponse:
    at = clock.now()
    line = line_of(key, [version], at=at)
    context = {
        "key": key,
        "environment": key.environment,
        "version": version,
        "can_claim": line.waiting is not None,
        "was_fetched": is_fetched(version) and version.state == VersionState.PRE_ACTIVATION,
        "was_claimed": version.claimed_at is not None,
        "rotation": _rotation_of(version, actor=actor),
        "would_end_at": end_of(key, at=at),
        "wants_public_key": key.kind == KeyKind.ED25519,
        "approved_key": shown_key(_approved_key(key, actor=actor)),
        "wrong_key": wrong_key,
        "step_up": fields(http, "claim", problem=problem),
    }
    return render(http, "web/claim.html", context, status=problem.status if problem else 422 if wrong_key else 200)


def _approved_key(key: ManagedKey, *, actor: Actor) -> str:
    """The public key that the approvers saw and that no version has yet."""
    return approved_key(key, list(KeyVersion.objects.visible_to(actor).filter(managed_key=key)))


def _rotation_of(version: KeyVersion, *, actor: Actor) -> Rotation | None:
    """The rotation that this version is the new one of, where an old one works beside it."""
    found = open_rotation_of(version.managed_key, actor=actor)
    if found is None or found.new_version_id != version.pk or found.old_version_id is None:
        return None
    return found


def _answer(http: HttpRequest, key: ManagedKey, claimed: Claim, *, actor: Actor) -> HttpResponse:
    """Show the secret this one time, or say why there is none. The secret is in this answer and in nothing that lasts."""
    context: dict[str, object] = {"key": key, "environment": key.environment, "version": claimed.version}
    if claimed.outcome == ClaimOutcome.ISSUED and claimed.version.public_key:
        context |= {
            "shown_key": shown_key(claimed.version.public_key),
            "rotation": _rotation_of(claimed.version, actor=actor),
        }
        return _unstored(render(http, "web/claimed_pair.html", context))
    if claimed.outcome != ClaimOutcome.ISSUED or claimed.secret is None:
        context["is_misuse"] = claimed.outcome == ClaimOutcome.MISUSED
        return _unstored(render(http, "web/claim_repeated.html", context, status=410))
    context |= {
        "secret": claimed.secret.reveal(),
        "masked": f"ks_{key.environment.tag}_{claimed.version.kid}_••••••{claimed.version.last4}",
        "snippets": [] if key.kind == KeyKind.HMAC_SHA256 else snippets_for(variable_of(key)),
        "variable": variable_of(key),
        "rotation": _rotation_of(claimed.version, actor=actor),
    }
    return _unstored(render(http, "web/claimed.html", context))


def variable_of(key: ManagedKey) -> str:
    """Name an environment variable after the service: `ORDERS_API_KEY`."""
    return f"{_NOT_A_VARIABLE.sub('_', key.service.slug.upper()).strip('_')}_API_KEY"


def _unstored(answer: HttpResponse) -> HttpResponse:
    answer["Cache-Control"] = "no-store, private"
    answer["Pragma"] = "no-cache"
    return answer


@form_page
def replace(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Explain what a new version means; on POST issue it."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_claim, key, before=issue_new_version, actor=actor)
    problem = None
    if http.method == "POST":
        problem = confirm(http, "claim")
        if problem is None:
            try:
                issue_new_version(key, actor=actor_of(http))
            except Conflict as conflict:
                if conflict.code != "version_waits_for_claim":
                    raise
            else:
                messages.success(http, _("A new version waits to be claimed."))
            return HttpResponseRedirect(reverse("claim", args=[number]))
    context = {
        "key": key,
        "environment": key.environment,
        "overlap": plan_words(plan_in(key.rotation), longest=longest_overlap(key)).overlap,
        "step_up": fields(http, "claim", problem=problem),
    }
    return render(http, "web/replace.html", context, status=problem.status if problem else 200)
