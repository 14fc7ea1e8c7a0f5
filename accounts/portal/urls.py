"""This room's pages."""

from django.urls import path

from accounts.portal import keys, views
from millrace.portal import navigation
from millrace.portal.navigation import LOGGED_IN, Entry

urlpatterns = [
    path("", views.home, name="home"),
    path("invitations/<str:token>", views.invitation, name="invitation"),
    path("tenant/switch", views.tenant_switch, name="tenant_switch"),
    path("api-keys/", keys.index, name="accounts_keys"),
    path("api-keys/<str:key_id>/revoke", keys.revoke, name="accounts_key_revoke"),
    path("dev/mail/", views.mailbox, name="dev_mailbox"),
]

navigation.add("", Entry("Overview", "home", LOGGED_IN, 0))
navigation.add("Organisation", Entry("API keys", "accounts_keys", "keys.read", 30))
