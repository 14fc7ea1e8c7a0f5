"""This room's pages."""

from django.urls import path

from accounts.portal import views

urlpatterns = [
    path("invitations/<str:token>", views.invitation, name="invitation"),
    path("tenant/switch", views.tenant_switch, name="tenant_switch"),
    path("dev/mail/", views.mailbox, name="dev_mailbox"),
]
