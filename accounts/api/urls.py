"""This room's doors under /v1/."""

from django.urls import path

from accounts.api import views

urlpatterns = [
    path("me", views.Me.as_view(), name="api_me"),
    path("tenant", views.TenantDoor.as_view(), name="api_tenant"),
    path("members", views.Members.as_view(), name="api_members"),
    path("members/<str:member_id>", views.Member.as_view(), name="api_member"),
    path("invitations", views.Invitations.as_view(), name="api_invitations"),
    path("invitations/accept", views.InvitationAccept.as_view(), name="api_invitation_accept"),
    path("invitations/<str:invitation_id>", views.Invitation.as_view(), name="api_invitation"),
    path("api-keys", views.ApiKeys.as_view(), name="api_keys"),
    path("api-keys/<str:key_id>", views.ApiKeyDoor.as_view(), name="api_key"),
    path("audit-log", views.AuditLog.as_view(), name="api_audit_log"),
]
