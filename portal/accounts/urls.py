"""Name the doors of the account pages."""

from django.urls import path

from portal.accounts import (
    calendar_feed,
    delegates,
    enrolment,
    factors,
    passkeys,
    passwords,
    sessions,
    sign_in,
    step_up,
)

urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/second-factor/", sign_in.second_factor, name="second_factor"),
    path("sign-in/passkey-options/", passkeys.sign_in_options, name="sign_in_options"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("invitation/<str:token>/", enrolment.invitation, name="invitation"),
    path("account/set-up/", enrolment.set_up, name="set_up"),
    path("account/set-up/authenticator/", enrolment.set_up_totp, name="set_up_totp"),
    path("account/set-up/authenticator/confirm/", enrolment.set_up_totp_confirm, name="set_up_totp_confirm"),
    path("account/set-up/passkey/", enrolment.set_up_passkey, name="set_up_passkey"),
    path("account/passkey-options/", passkeys.enrol_options, name="enrol_options"),
    path("account/step-up/", step_up.step_up, name="step_up"),
    path("account/step-up/<slug:purpose>/passkey-options/", passkeys.step_up_options, name="step_up_options"),
    path("account/sessions/", sessions.sessions, name="sessions"),
    path("account/sessions/end-others/", sessions.end_others, name="sessions_end_others"),
    path("account/sessions/<uuid:pk>/end/", sessions.end_one, name="session_end"),
    path("account/factors/", factors.factors, name="factors"),
    path("account/factors/step-up/", factors.prove_presence, name="factors_step_up"),
    path("account/factors/authenticator/", factors.add_totp, name="factor_totp_add"),
    path("account/factors/authenticator/confirm/", factors.confirm_added_totp, name="factor_totp_confirm"),
    path("account/factors/passkey/", factors.add_passkey, name="factor_passkey_add"),
    path("account/factors/recovery-codes/", factors.new_recovery_codes, name="factor_recovery_codes"),
    path("account/factors/totp/<uuid:pk>/remove/", factors.remove, {"kind": "totp"}, name="totp_remove"),
    path("account/factors/passkey/<uuid:pk>/remove/", factors.remove, {"kind": "passkey"}, name="passkey_remove"),
    path("account/delegates/", delegates.delegates, name="delegates"),
    path("account/delegates/<uuid:pk>/end/", delegates.end, name="delegation_end"),
    path("account/password/", passwords.password, name="password"),
    path("calendar/<str:token>.ics", calendar_feed.calendar_feed, name="calendar_feed"),
    path("password-reset/", passwords.forgotten, name="password_forgotten"),
    path("password-reset/<str:token>/", passwords.reset, name="password_reset"),
]
