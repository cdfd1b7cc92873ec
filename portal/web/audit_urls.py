"""Name the pages of auditors and of those who decide about policies."""

from django.urls import path

from portal.web import audit, log_health, policies

urlpatterns = [
    path("audit/", audit.audit, name="audit"),
    path("audit/export/", audit.export, name="audit_export"),
    path("audit/events/<uuid:uid>/", audit.event, name="audit_event"),
    path("audit/health/", log_health.log_health, name="log_health"),
    path("audit/health/inspections/", log_health.inspection_progress, name="inspection_progress"),
    path("audit/health/inspect/", log_health.inspect_now, name="inspect_now"),
    path("audit/lives/", audit.find_life, name="find_life"),
    path("audit/lives/<int:number>/", audit.key_life, name="key_life"),
    path("policies/proposals/", policies.proposals, name="policy_proposals"),
    path("policies/proposals/<uuid:pk>/", policies.proposal, name="policy_proposal"),
]
