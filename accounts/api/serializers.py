"""This room's things as JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Invitation, TenantKind, TenantState
from accounts.roles import PERMISSIONS, SCOPES, Role
from millrace.api.fields import Serializer, TypeIdField
from millrace.kernel import clock


class UserSerializer(Serializer):
    """A person."""

    id = TypeIdField("usr", source="pk", read_only=True)
    email = serializers.EmailField(read_only=True)
    name = serializers.CharField(read_only=True)
    verified_at = serializers.DateTimeField(read_only=True, allow_null=True)
    is_staff = serializers.BooleanField(read_only=True)


class TenantSerializer(Serializer):
    """An organisation."""

    id = TypeIdField("ten", source="pk", read_only=True)
    name = serializers.CharField(max_length=120)
    slug = serializers.CharField(read_only=True)
    kind = serializers.ChoiceField(TenantKind.choices, read_only=True)
    state = serializers.ChoiceField(TenantState.choices, read_only=True)
    verified_at = serializers.DateTimeField(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)


class TenantChangeSerializer(Serializer):
    """What may be changed of an organisation."""

    name = serializers.CharField(max_length=120, help_text="The display name; the slug stays.")


class PlaceSerializer(Serializer):
    """One of a person's tenants."""

    tenant = TypeIdField("ten", source="tenant_id", read_only=True)
    name = serializers.CharField(source="tenant.name", read_only=True)
    role = serializers.ChoiceField(Role.choices, read_only=True)


class KeySerializer(Serializer):
    """An API key, without its secret."""

    id = TypeIdField("key", source="pk", read_only=True)
    name = serializers.CharField(read_only=True)
    prefix = serializers.CharField(source="lookup", read_only=True, help_text="The public part of the key.")
    scopes = serializers.ListField(child=serializers.ChoiceField(sorted(SCOPES)), read_only=True)
    created_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)
    expires_at = serializers.DateTimeField(read_only=True, allow_null=True)
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)


class NewKeySerializer(KeySerializer):
    """A key that was just made, with the secret that is shown this once."""

    secret = serializers.CharField(
        read_only=True, allow_null=True, help_text="The whole key: shown once, null in the answer to a replay."
    )


class KeyRequestSerializer(Serializer):
    """A key to make."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.ChoiceField(sorted(SCOPES)), min_length=1, max_length=len(SCOPES))
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate_expires_at(self, value: Any) -> Any:
        """A key that is dead at birth is a mistake."""
        if value is not None and value <= clock.now():
            raise serializers.ValidationError("This time has passed.")
        return value


class MeSerializer(Serializer):
    """Who calls, for which tenant, and what it may do."""

    user = UserSerializer(read_only=True, allow_null=True)
    api_key = KeySerializer(read_only=True, allow_null=True)
    tenant = TenantSerializer(read_only=True, allow_null=True)
    role = serializers.CharField(read_only=True, help_text="Empty for API keys.")
    permissions = serializers.ListField(child=serializers.ChoiceField(sorted(PERMISSIONS)), read_only=True)
    tenants = PlaceSerializer(many=True, read_only=True, help_text="Every tenant of the person; empty for API keys.")


class MeChangeSerializer(Serializer):
    """What a person may change of itself and of its session."""

    name = serializers.CharField(max_length=120, required=False)
    tenant = TypeIdField("ten", required=False, help_text="The tenant that this session acts for from now on.")


class MemberSerializer(Serializer):
    """A person's place in the tenant."""

    id = TypeIdField("mem", source="pk", read_only=True)
    user = UserSerializer(read_only=True)
    role = serializers.ChoiceField(Role.choices, read_only=True)
    created_at = serializers.DateTimeField(read_only=True)


class RoleSerializer(Serializer):
    """A member's new role."""

    role = serializers.ChoiceField(Role.choices)


class InvitationSerializer(Serializer):
    """A role offered to an address."""

    id = TypeIdField("inv", source="pk", read_only=True)
    email = serializers.EmailField(read_only=True)
    role = serializers.ChoiceField(Role.choices, read_only=True)
    state = serializers.SerializerMethodField()
    invited_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)

    @extend_schema_field(serializers.ChoiceField(["open", "accepted", "revoked", "expired"]))
    def get_state(self, row: Invitation) -> str:
        """What became of it."""
        if row.accepted_at:
            return "accepted"
        if row.revoked_at:
            return "revoked"
        return "open" if row.expires_at > clock.now() else "expired"


class InvitationRequestSerializer(Serializer):
    """An address to invite."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(Role.choices)


class AcceptSerializer(Serializer):
    """The token of the mailed link."""

    token = serializers.CharField(max_length=80)


class AuditEntrySerializer(Serializer):
    """Who did what."""

    id = TypeIdField("aud", source="pk", read_only=True)
    actor = serializers.CharField(read_only=True)
    action = serializers.CharField(read_only=True)
    target = serializers.CharField(read_only=True)
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]
    created_at = serializers.DateTimeField(read_only=True)
