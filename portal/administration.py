"""Register Django's admin with our site instead of the stock one."""

from django.contrib.admin.apps import AdminConfig


class AdministrationConfig(AdminConfig):
    """Django's admin, served by portal.admin_site."""

    default_site = "portal.admin_site.KeysteadAdminSite"
