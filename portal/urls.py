"""Name the doors."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from portal import health, metrics
from portal.oauth.metadata import authorization_server
from portal.web import demo_mails, status

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("status", status.status, name="status"),
    path("health/", status.health_page, name="health"),
    path("metrics", metrics.metrics, name="metrics"),
    path("api/v1/", include("portal.api.urls")),
    path("v1/", include("portal.verify.urls")),
    path("v1/", include("portal.rotation.urls")),
    path(".well-known/oauth-authorization-server", authorization_server, name="oauth_metadata"),
    path("oauth2/", include("portal.oauth.urls")),
    path("", include("portal.accounts.urls")),
    path("", include("portal.web.urls")),
    path("", include("portal.web.audit_urls")),
    path("demo/mail/", demo_mails.demo_mails, name="demo_mails"),
    path("demo/mail/<slug:name>/", demo_mails.demo_mail, name="demo_mail"),
    path("demo/mail/<slug:name>/html/", demo_mails.demo_mail_as_html, name="demo_mail_as_html"),
    path("admin/", admin.site.urls),
]

handler400 = "portal.web.errors.bad_request"
handler403 = "portal.web.errors.permission_denied"
handler404 = "portal.web.errors.page_not_found"
handler500 = "portal.web.errors.server_error"
