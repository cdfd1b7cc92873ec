"""List what can be said in a mail: a subject, a sentence and what the link says, for each kind of notice."""

from __future__ import annotations

from django.utils.translation import gettext_noop

# kind -> (subject, sentence, what the link says); {subject} is REQ-…, KEY-… or a name.
SAYINGS: dict[str, tuple[str, str, str]] = {
    "request.submitted": (
        gettext_noop("{subject} waits for your decision"),
        gettext_noop("A key for {service} in {environment} was asked for, and you can approve it."),
        gettext_noop("Read the request"),
    ),
    "request.edited": (
        gettext_noop("{subject} was changed"),
        gettext_noop("Its content is new, so earlier approvals no longer count."),
        gettext_noop("Read the request"),
    ),
    "request.narrowed": (
        gettext_noop("{subject} was narrowed"),
        gettext_noop("An approver agreed to less than was asked. The requester may still withdraw it."),
        gettext_noop("See what changed"),
    ),
    "request.nudged": (
        gettext_noop("{subject} still waits for you"),
        gettext_noop("The requester asks for a decision about a key for {service} in {environment}."),
        gettext_noop("Read the request"),
    ),
    "request.returned": (
        gettext_noop("A question about {subject}"),
        gettext_noop("An approver asks back. The request waits until you answer by an edit."),
        gettext_noop("Answer"),
    ),
    "request.approved": (
        gettext_noop("{subject} was approved"),
        gettext_noop("The key for {service} in {environment} can be claimed now."),
        gettext_noop("Go to the request"),
    ),
    "request.denied": (
        gettext_noop("{subject} was denied"),
        gettext_noop("The reason stands with the request."),
        gettext_noop("Read the reason"),
    ),
    "request.lapsed": (
        gettext_noop("{subject} lapsed"),
        gettext_noop("Nobody decided in time. You can ask again."),
        gettext_noop("Open the request"),
    ),
    "approval.given": (
        gettext_noop("A decision about {subject}"),
        gettext_noop("An approver decided."),
        gettext_noop("See the progress"),
    ),
    "version.created": (
        gettext_noop("Claim the secret of {subject}"),
        gettext_noop("It can be claimed once, by you, until the claim lapses."),
        gettext_noop("Claim it"),
    ),
    "version.suspended": (
        gettext_noop("{subject} was suspended"),
        gettext_noop("It does not verify any more. Reason: {reason}."),
        gettext_noop("Look into it"),
    ),
    "version.reinstated": (
        gettext_noop("{subject} works again"),
        gettext_noop("Its suspension was lifted."),
        gettext_noop("Open the key"),
    ),
    "version.claim-repeated": (
        gettext_noop("The secret of {subject} was asked for again"),
        gettext_noop("Nothing was handed out: a secret is shown once."),
        gettext_noop("Open the key"),
    ),
    "version.integrity-failed": (
        gettext_noop("{subject} was changed behind Keystead's back"),
        gettext_noop("A row in the database does not match its seal. It does not verify. Treat this as an attack."),
        gettext_noop("Look into it"),
    ),
    "key.leak-reported": (
        gettext_noop("{subject} was reported as leaked"),
        gettext_noop("It was suspended at once. Decide whether to revoke it."),
        gettext_noop("Look into it"),
    ),
    "key.revoked": (
        gettext_noop("{subject} was revoked"),
        gettext_noop("Nothing of it verifies again. Reason: {reason}."),
        gettext_noop("Open the key"),
    ),
    "key.shortened": (
        gettext_noop("{subject} will end earlier"),
        gettext_noop("Its service or one of its scopes is being retired."),
        gettext_noop("Open the key"),
    ),
    "key.recipient-changed": (
        gettext_noop("Somebody else receives the secrets of {subject}"),
        gettext_noop(
            "Whoever was named now claims its next secrets. If that is not right, tell a lead of the team or a responder."
        ),
        gettext_noop("Open the key"),
    ),
    "key.renewed": (
        gettext_noop("{subject} was renewed"),
        gettext_noop("It may live longer now; its secrets end as before."),
        gettext_noop("Open the key"),
    ),
    "transfer.offered": (
        gettext_noop("{subject} is offered to your team"),
        gettext_noop("Nothing changes until a lead of your team accepts."),
        gettext_noop("Answer"),
    ),
    "transfer.decided": (
        gettext_noop("The offer of {subject} was answered"),
        gettext_noop("Open the key to see by whom it is owned now."),
        gettext_noop("Open the key"),
    ),
    "policy-proposal.made": (
        gettext_noop("Weaker production rules are proposed for {subject}"),
        gettext_noop("They hold only if a second administrator accepts them."),
        gettext_noop("Decide"),
    ),
    "policy-proposal.decided": (
        gettext_noop("Your proposal for {subject} was decided"),
        gettext_noop("Another administrator answered."),
        gettext_noop("See the answer"),
    ),
    "service.retirement-planned": (
        gettext_noop("{subject} will be retired"),
        gettext_noop("Your keys for it end on that day at the latest."),
        gettext_noop("See your keys"),
    ),
    "scope.retirement-planned": (
        gettext_noop("The scope {subject} will be retired"),
        gettext_noop("Keys that hold it end on that day at the latest."),
        gettext_noop("See your keys"),
    ),
    "password.reset-requested": (
        gettext_noop("Choose a new password"),
        gettext_noop("Somebody, probably you, asked for this. It does not sign in and touches no second factor."),
        gettext_noop("Choose a new password"),
    ),
    "password.changed": (
        gettext_noop("Your password was changed"),
        gettext_noop("If it was not you, tell an administrator now."),
        gettext_noop("Review your factors"),
    ),
    "person.roles-changed": (
        gettext_noop("Your roles were changed"),
        gettext_noop("What you can see and do in Keystead is different now."),
        gettext_noop("Open Keystead"),
    ),
    "factor-reset.proposed": (
        gettext_noop("A reset of somebody's second factors is proposed"),
        gettext_noop("It needs a second administrator. Ask the person by another channel first."),
        gettext_noop("Decide"),
    ),
    "factor-reset.confirmed": (
        gettext_noop("Your second factors were reset"),
        gettext_noop("Two administrators did this. If you did not ask for it, tell them now."),
        gettext_noop("Open Keystead"),
    ),
    "person.deactivated": (
        gettext_noop("A colleague's access has ended"),
        gettext_noop("Look at the keys and requests they left behind, and name who takes them over."),
        gettext_noop("See your keys"),
    ),
    "passkey.clone-suspected": (
        gettext_noop("A passkey may have been copied"),
        gettext_noop("Its counter went back, which a genuine passkey never does. Remove it and look into it."),
        gettext_noop("Open Keystead"),
    ),
    "second-factor.locked": (
        gettext_noop("Your second factor is locked for a while"),
        gettext_noop("Somebody who knows your password gave wrong codes. If it was not you, change your password."),
        gettext_noop("Review your factors"),
    ),
    "totp.enrolled": (
        gettext_noop("An authenticator app was added to your account"),
        gettext_noop(
            "It signs you in, and decides from tomorrow on. If it is not yours, remove it now and tell an administrator."
        ),
        gettext_noop("Review your factors"),
    ),
    "passkey.enrolled": (
        gettext_noop("A passkey was added to your account"),
        gettext_noop(
            "It signs you in, and decides from tomorrow on. If it is not yours, remove it now and tell an administrator."
        ),
        gettext_noop("Review your factors"),
    ),
    "totp.removed": (
        gettext_noop("An authenticator app was removed from your account"),
        gettext_noop("If it was not you, change your password and tell an administrator."),
        gettext_noop("Review your factors"),
    ),
    "passkey.removed": (
        gettext_noop("A passkey was removed from your account"),
        gettext_noop("If it was not you, change your password and tell an administrator."),
        gettext_noop("Review your factors"),
    ),
    "recovery-codes.made": (
        gettext_noop("Your recovery codes were replaced"),
        gettext_noop("The ones before are void. If it was not you, make new ones now and tell an administrator."),
        gettext_noop("Review your factors"),
    ),
    "recovery-codes.used": (
        gettext_noop("One of your recovery codes was used"),
        gettext_noop(
            "It stood in for your second factor. If it was not you, change your password and tell an administrator."
        ),
        gettext_noop("Review your factors"),
    ),
    "password.reset-completed": (
        gettext_noop("Your password was set anew by a mailed link"),
        gettext_noop("All your sessions ended. If it was not you, somebody reads your mail: tell an administrator."),
        gettext_noop("Review your factors"),
    ),
    "delegation.named": (
        gettext_noop("A delegate was named"),
        gettext_noop("One of you decides in the place of the other for a while. If that is not right, end it."),
        gettext_noop("See your delegates"),
    ),
    "device-sign-in.completed": (
        gettext_noop("A command line was signed in as you"),
        gettext_noop("You allowed it in a browser. If you do not remember that, end it now and tell an administrator."),
        gettext_noop("See your sessions"),
    ),
    "device-sign-in.reused": (
        gettext_noop("A command line that was signed in as you was signed out"),
        gettext_noop(
            "Its code was used twice. Either an answer was lost on the way and you were just told to begin again, or somebody"
            " else has the code: then tell an administrator."
        ),
        gettext_noop("See your sessions"),
    ),
    "session.refused": (
        gettext_noop("A session that had ended was put back"),
        gettext_noop("Somebody wrote it into the database again. It opened nothing. Treat this as an attack."),
        gettext_noop("Open Keystead"),
    ),
    "recovery.link-ordered": (
        gettext_noop("A recovery link was made at the server's shell"),
        gettext_noop(
            "It resets the password and all factors of an administrator. If nobody told you, look into it now."
        ),
        gettext_noop("Open Keystead"),
    ),
    "webhook.disabled": (
        gettext_noop("The webhook {subject} was disabled"),
        gettext_noop(
            "Its receiver accepted nothing for days, or said that it is gone. Repair it, then enable it again."
        ),
        gettext_noop("See the webhook"),
    ),
    "invariants.broken": (
        gettext_noop("The nightly check found broken invariants"),
        gettext_noop("Rows contradict the rules of Keystead. Run check_invariants and treat it as an incident."),
        gettext_noop("Open Keystead"),
    ),
    "intent.unfinished": (
        gettext_noop("It is not known how an act on {subject} ended"),
        gettext_noop(
            "A secret was about to be handed over, and after five minutes the log does not say what came of it. Look whether the "
            "site was stopped or crashed at that time."
        ),
        gettext_noop("Look into it"),
    ),
    "invitation.created": (
        gettext_noop("You are invited to Keystead"),
        gettext_noop("The link works once, for 72 hours."),
        gettext_noop("Take your place"),
    ),
    "rotation.prepared": (
        gettext_noop("The next secret of {subject} waits to be claimed"),
        gettext_noop(
            "Claim it and put it in place: the old secret goes on working meanwhile, until {until} at the latest."
        ),
        gettext_noop("Claim the next secret"),
    ),
    "rotation.activated": (
        gettext_noop("{subject} has its next secret"),
        gettext_noop(
            "Both secrets work. The old one ends when the new one is used or the old one is idle, and at {until} at the latest."
        ),
        gettext_noop("See who still uses the old one"),
    ),
    "rotation.drained": (
        gettext_noop("The old secret of {subject} ends at {until}"),
        gettext_noop("Both secrets work until then; afterwards the new one alone."),
        gettext_noop("See who still uses the old one"),
    ),
    "rotation.completed": (
        gettext_noop("{subject} has changed its secret"),
        gettext_noop("The old secret has ended; only the new one works."),
        gettext_noop("Open the key"),
    ),
    "rotation.aborted": (
        gettext_noop("The secret of {subject} was not replaced"),
        "{because}",
        gettext_noop("Open the key"),
    ),
    "rotation.contested": (
        gettext_noop("Somebody else may hold the secret of {subject}"),
        gettext_noop(
            "Its next secret was asked for twice with the old one, with different tokens. One secret never brings two: look who "
            "asked, and report a leak if it was not you. The old secret ends at {until}."
        ),
        gettext_noop("See who asked"),
    ),
    "rotation.rolled-back": (
        gettext_noop("{subject} is back on its old secret"),
        gettext_noop(
            "The replacement was undone: the new secret has ended, the old one goes on working until {until}."
        ),
        gettext_noop("Open the key"),
    ),
}

# Why a replacement was stopped, where people can do something about it.
STOPPED = {
    "claim-lapsed": gettext_noop(
        "Nobody claimed the next secret in time. The old one ends at {until}: start again before that."
    ),
    "key-suspended": gettext_noop(
        "The key is suspended, and what was stopped on purpose is not replaced. It is planned anew when the key works again."
    ),
}
