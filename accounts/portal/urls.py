"""This room's pages."""

from django.urls import path

from accounts.portal import founding, keys, people, views
from millrace.portal import navigation
from millrace.portal.navigation import Entry

urlpatterns = [
    path("", views.home, name="home"),
    path("invitations/<str:token>", views.invitation, name="invitation"),
    path("tenant/switch", views.tenant_switch, name="tenant_switch"),
    path("tenant/new", founding.found, name="tenant_new"),
    path("members/", people.members, name="accounts_members"),
    path("members/<str:member_id>/role", people.set_role, name="accounts_member_role"),
    path("members/<str:member_id>/remove", people.remove, name="accounts_member_remove"),
    path("members/invitations/<str:invitation_id>/withdraw", people.withdraw, name="accounts_invitation_withdraw"),
    path("api-keys/", keys.index, name="accounts_keys"),
    path("api-keys/<str:key_id>/revoke", keys.revoke, name="accounts_key_revoke"),
    path("audit-log/", people.audit_log, name="accounts_audit_log"),
    path("dev/mail/", views.mailbox, name="dev_mailbox"),
]

navigation.add("", Entry("Overview", "home", "tenant.read", 0))
navigation.add(
    "Organisation",
    Entry("Members", "accounts_members", "members.read", 20),
    Entry("API keys", "accounts_keys", "keys.read", 30),
    Entry("Audit log", "accounts_audit_log", "audit.read", 40),
)
