"""Users, tenants and what ties them."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower

from accounts.roles import Role
from millrace.kernel.models import Model, TenantModel


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user with a hashed password (unusable when None)."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Staff, for `manage.py createsuperuser`."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin, Model):
    """A person, known by e-mail address. Belongs to tenants by membership."""

    PREFIX = "usr"

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True, default="")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    verified_at = models.DateTimeField(null=True, blank=True)

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []  # type: ignore[misc]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_user_per_address")]

    def __str__(self) -> str:
        return self.email


class TenantState(models.TextChoices):
    """A tenant's life."""

    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class TenantKind(models.TextChoices):
    """A customer organisation, or a partner's own."""

    CUSTOMER = "customer"
    PARTNER = "partner"


class Tenant(Model):
    """An organisation; owns data, models, keys, usage. Guarded by row-level security on its own id."""

    PREFIX = "ten"

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=80, unique=True)
    kind = models.CharField(max_length=16, choices=TenantKind, default=TenantKind.CUSTOMER)
    state = models.CharField(max_length=16, choices=TenantState, default=TenantState.TRIALING)
    verified_at = models.DateTimeField(null=True, blank=True)
    state_changed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Membership(TenantModel):
    """A user's place in a tenant."""

    PREFIX = "mem"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant")]
        indexes = [models.Index(fields=["user"], name="membership_by_user")]


class Invitation(TenantModel):
    """An offer of a role to an address: single use, expiring, the role fixed. Only the token's hash is stored."""

    PREFIX = "inv"

    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Role)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.CharField(max_length=80)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)


class ApiKey(TenantModel):
    """A program's credential for one tenant. The secret is shown once; only its keyed hash is stored."""

    PREFIX = "key"

    name = models.CharField(max_length=80)
    lookup = models.CharField(max_length=16, unique=True)
    secret_hash = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    created_by = models.CharField(max_length=80)
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)


class Mail(Model):
    """A message that the mailbox of development and tests kept instead of sending. Production sends and keeps none."""

    PREFIX = "mail"

    to = models.EmailField(db_index=True)
    subject = models.CharField(max_length=998)
    text = models.TextField()
    html = models.TextField(blank=True, default="")
