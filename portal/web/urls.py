"""Name the browser pages. Keys and requests are named by the numbers people say aloud, never by identifiers of rows."""

from django.urls import path

from portal.web import (
    asking,
    claiming,
    deciding,
    handing_over,
    inbox,
    keys,
    receipts,
    requests,
    services,
    stopping,
    teams,
)

urlpatterns = [
    path("", keys.my_keys, name="keys"),
    path("keys/", keys.all_keys, name="all_keys"),
    path("keys/<int:number>/", keys.key_detail, name="key"),
    path("keys/<int:number>/claim/", claiming.claim, name="claim"),
    path("keys/<int:number>/replace/", claiming.replace, name="replace"),
    path("keys/<int:number>/renew/", asking.renew, name="renew"),
    path("keys/<int:number>/suspend/", stopping.suspend, name="suspend"),
    path("keys/<int:number>/reinstate/", stopping.reinstate, name="reinstate"),
    path("keys/<int:number>/revoke/", stopping.revoke, name="revoke"),
    path("keys/<int:number>/leak/", stopping.leak, name="leak"),
    path("keys/<int:number>/leaked/", stopping.leaked, name="leaked"),
    path("keys/<int:number>/hand-over/", handing_over.hand_over, name="hand_over"),
    path("keys/<int:number>/transfer/", handing_over.transfer, name="transfer"),
    path("requests/", requests.requests, name="requests"),
    path("requests/new/", asking.ask, name="ask"),
    path("requests/<int:number>/", requests.request_detail, name="request"),
    path("requests/<int:number>/content.json", requests.request_content, name="request_content"),
    path("requests/<int:number>/receipts/<uuid:uid>.tlog-proof", receipts.receipt, name="receipt"),
    path("requests/<int:number>/receipts/<uuid:uid>.json", receipts.receipt_entry, name="receipt_entry"),
    path("requests/<int:number>/edit/", asking.edit, name="edit"),
    path("requests/<int:number>/withdraw/", requests.withdraw, name="withdraw"),
    path("requests/<int:number>/nudge/", requests.nudge, name="nudge"),
    path("requests/<int:number>/statement/", deciding.statement, name="statement"),
    path("requests/<int:number>/decide/", deciding.decide, name="decide"),
    path("inbox/", inbox.inbox, name="inbox"),
    path("services/", services.services, name="services"),
    path("services/<slug:slug>/", services.service, name="service"),
    path("team/", teams.team_list, name="team"),
    path("team/<slug:slug>/", teams.team, name="one_team"),
]
