"""Name the pages of auditors and of those who decide about policies."""

from django.urls import path

from portal.web import audit, exports, holds, log_health, policies, proofs, retention, samples, saved_searches

urlpatterns = [
    path("audit/", audit.audit, name="audit"),
    path("audit/export/", exports.export, name="audit_export"),
    path("audit/exports/", exports.exports, name="audit_exports"),
    path("audit/exports/progress/", exports.exports_progress, name="audit_exports_progress"),
    path("audit/exports/<uuid:uid>/", exports.export_file, name="audit_export_file"),
    path("audit/exports/<uuid:uid>/cancel/", exports.cancel, name="audit_export_cancel"),
    path("audit/exports/<uuid:uid>/progress/", exports.export_progress, name="audit_export_progress"),
    path("audit/events/<uuid:uid>/", audit.event, name="audit_event"),
    path("audit/health/", log_health.log_health, name="log_health"),
    path("audit/health/inspections/", log_health.inspection_progress, name="inspection_progress"),
    path("audit/health/inspect/", log_health.inspect_now, name="inspect_now"),
    path("audit/events/<uuid:uid>/proof/", proofs.event_proof, name="audit_event_proof"),
    path("audit/events/<uuid:uid>/entry/", proofs.event_entry, name="audit_event_entry"),
    path("audit/searches/", saved_searches.saved_searches, name="saved_searches"),
    path("audit/searches/new/", saved_searches.save, name="save_search"),
    path("audit/searches/<uuid:uid>/", saved_searches.change, name="saved_search"),
    path("audit/searches/<uuid:uid>/remove/", saved_searches.remove, name="remove_search"),
    path("audit/samples/new/", samples.new_sample, name="new_sample"),
    path("audit/samples/<uuid:uid>/", samples.sample, name="audit_sample"),
    path("audit/samples/<uuid:uid>/redraw/", samples.redraw, name="redraw_sample"),
    path("audit/verify/", proofs.verify, name="audit_verify"),
    path("audit/verify/verify.py", proofs.verifier, name="audit_verifier"),
    path("audit/verify/log.vkey", proofs.log_key, name="audit_log_key"),
    path("audit/verify/checkpoint.note", proofs.checkpoint, name="audit_checkpoint"),
    path("audit/lives/", audit.find_life, name="find_life"),
    path("audit/lives/<int:number>/", audit.key_life, name="key_life"),
    path("audit/holds/", holds.holds, name="holds"),
    path("audit/holds/place/", holds.place, name="place_hold"),
    path("audit/holds/<int:number>/", holds.lift, name="lift_hold"),
    path("audit/retention/", retention.retention, name="retention"),
    path("policies/proposals/", policies.proposals, name="policy_proposals"),
    path("policies/proposals/<uuid:pk>/", policies.proposal, name="policy_proposal"),
]
