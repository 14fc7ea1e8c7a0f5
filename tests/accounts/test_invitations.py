"""Invitations: mailed, single use, seven days, one role, any device."""

import re
from datetime import timedelta
from threading import Event

import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from accounts.errors import InvitationInvalid
from accounts.models import Invitation, Membership, Tenant, User
from accounts.services import invitations
from accounts.services.invitations import invitation_accept, invitation_create
from accounts.services.tenants import tenant_set_state
from millrace.kernel import clock
from millrace.kernel.audit import Actor
from millrace.kernel.models import AuditEntry, OutboxEvent
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests import factories
from tests.factories import SYSTEM, logged_in
from tests.threads import in_threads

SIGN_UP = {"name": "Dora", "organisation": "", "email": "dora@example.com", "password1": "a good long password",
           "coupon": ""}  # fmt: skip


def invite(inviter: User, email: str = "dora@example.com", role: str = "developer") -> str:
    """The mailed token."""
    answer = logged_in(inviter).post("/v1/invitations", {"email": email, "role": role}, content_type="application/json")
    assert answer.status_code == 201, answer.json()
    found = re.search(r"/invitations/(\w+)", str(mail.outbox[-1].body))
    assert found
    return found.group(1)


def role_of(user: User, tenant: Tenant) -> str:
    with platform_scope(reason="look"):
        return Membership.objects.filter(user=user, tenant=tenant).values_list("role", flat=True).first() or ""


def accept(user: User, token: str):
    return logged_in(user).post("/v1/invitations/accept", {"token": token}, content_type="application/json")


def test_the_invited_sign_up_join_are_verified_and_found_no_tenant(alice: User, tenant: Tenant) -> None:
    token, browser = invite(alice), Client()
    sent = len(mail.outbox)
    page = browser.get(f"/invitations/{token}").content.decode()
    assert "Acme Sensors" in page
    assert f"/accounts/signup/?invitation={token}" in page
    assert 'value="dora@example.com"' in browser.get(f"/accounts/signup/?invitation={token}").content.decode()

    answer = browser.post("/accounts/signup/", SIGN_UP | {"invitation": token})

    assert answer["Location"] == "/"
    dora = User.objects.get(email="dora@example.com")
    assert dora.verified_at is not None
    assert role_of(dora, tenant) == "developer"
    assert browser.get("/v1/me").json()["tenant"]["name"] == "Acme Sensors"
    assert len(mail.outbox) == sent  # nothing to verify
    with platform_scope(reason="look"):
        assert Tenant.objects.count() == 1
        assert OutboxEvent.objects.get(topic="member.joined").payload == {"user_id": str(dora.pk), "role": "developer"}


def test_a_name_of_two_lines_is_no_header_of_a_mail(alice: User, tenant: Tenant) -> None:
    name = {"name": "Acme\nBcc: everybody@example.com"}
    renamed = logged_in(alice).patch("/v1/tenant", name, content_type="application/json")
    invite(alice)
    founded = factories.make_tenant(name="Two\r\n lines")

    assert renamed.json()["name"] == "Acme Bcc: everybody@example.com"
    assert mail.outbox[-1].subject == "Join Acme Bcc: everybody@example.com on Millrace"
    assert founded.name == "Two lines"


def test_an_invitation_proves_no_other_address(alice: User) -> None:
    token = invite(alice)

    answer = Client().post("/accounts/signup/", SIGN_UP | {"invitation": token, "email": "eve@example.com"})

    assert answer.status_code == 200
    assert "email" in answer.context["form"].errors
    assert not User.objects.filter(email="eve@example.com").exists()


def test_who_takes_the_invitation_out_of_its_form_founds_no_nameless_organisation(alice: User) -> None:
    token = invite(alice)

    answer = Client().post(f"/accounts/signup/?invitation={token}", SIGN_UP)

    assert answer.status_code == 200
    assert "organisation" in answer.context["form"].errors
    assert not User.objects.filter(email="dora@example.com").exists()


def test_signing_up_with_a_dead_invitation_founds_nothing(alice: User) -> None:
    answer = Client().post("/accounts/signup/", SIGN_UP | {"invitation": "never-existed", "organisation": "Dora's"})

    assert answer.status_code == 200
    assert not User.objects.filter(email="dora@example.com").exists()


def test_a_person_with_an_account_joins_on_any_device(alice: User, charlie: User, tenant: Tenant) -> None:
    token = invite(alice, "Charlie@Example.com", "viewer")
    first_device, second_device = logged_in(charlie), logged_in(charlie)
    first_device.get(f"/invitations/{token}")
    assert role_of(charlie, tenant) == ""  # opening the link joins nobody: mail scanners open links

    answer = second_device.post(f"/invitations/{token}")

    assert answer["Location"] == "/"
    assert role_of(charlie, tenant) == "viewer"
    assert second_device.get("/v1/me").json()["tenant"]["name"] == "Acme Sensors"
    assert first_device.get("/v1/me").json()["tenant"]["name"] == "Charlie's"


def test_accepting_again_gives_the_same_place(alice: User, charlie: User, tenant: Tenant) -> None:
    token = invite(alice, "charlie@example.com")

    first, again = accept(charlie, token), accept(charlie, token)

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()


def test_another_person_cannot_use_it(alice: User, charlie: User, tenant: Tenant) -> None:
    token = invite(alice)

    answer = accept(charlie, token)

    assert (answer.status_code, answer.json()["code"]) == (409, "invitation_invalid")
    assert role_of(charlie, tenant) == ""
    with platform_scope(reason="look"):
        assert Invitation.objects.get().accepted_at is None


def test_it_expires_after_seven_days(alice: User, charlie: User, tenant: Tenant) -> None:
    with clock.frozen(clock.now()):
        token = invite(alice, "charlie@example.com")
    with platform_scope(reason="look"):
        made = Invitation.objects.get()
    assert made.expires_at - made.created_at == timedelta(days=7)

    with clock.frozen(made.expires_at), pytest.raises(InvitationInvalid, match="expired"):
        invitation_accept(token=token, user=charlie, actor=Actor.user(charlie))
    with clock.frozen(made.expires_at - timedelta(seconds=1)):
        invitation_accept(token=token, user=charlie, actor=Actor.user(charlie))

    assert role_of(charlie, tenant) == "developer"


def test_a_withdrawn_one_is_dead(alice: User, charlie: User, tenant: Tenant) -> None:
    token = invite(alice, "charlie@example.com")
    shown = logged_in(alice).get("/v1/invitations").json()["data"][0]
    assert shown["state"] == "open"

    for _ in range(2):
        assert logged_in(alice).delete(f"/v1/invitations/{shown['id']}").status_code == 204

    assert accept(charlie, token).json()["code"] == "invitation_invalid"
    assert Client().get(f"/invitations/{token}").status_code == 404
    assert role_of(charlie, tenant) == ""


def test_an_accepted_one_cannot_be_withdrawn(alice: User, charlie: User) -> None:
    accept(charlie, invite(alice, "charlie@example.com"))
    shown = logged_in(alice).get("/v1/invitations").json()["data"][0]

    answer = logged_in(alice).delete(f"/v1/invitations/{shown['id']}")

    assert (shown["state"], answer.status_code) == ("accepted", 409)


def test_inviting_again_withdraws_the_first(alice: User, charlie: User) -> None:
    first, second = invite(alice, "charlie@example.com", "viewer"), invite(alice, "charlie@example.com", "admin")

    assert accept(charlie, first).status_code == 409
    assert accept(charlie, second).json()["role"] == "admin"
    with platform_scope(reason="look"):
        assert AuditEntry.objects.filter(action="invitation.revoke").count() == 1


def test_a_member_is_not_invited_again(alice: User, bob: User) -> None:
    answer = logged_in(alice).post(
        "/v1/invitations", {"email": "BOB@example.com", "role": "admin"}, content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "already_member")
    assert mail.outbox == []


def test_only_an_owner_invites_owners(alice: User, tenant: Tenant) -> None:
    admin = logged_in(factories.make_member(tenant, role="admin"))

    answer = admin.post("/v1/invitations", {"email": "x@example.com", "role": "owner"}, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (403, "owner_needed")
    assert mail.outbox == []


def test_a_mail_server_that_refuses_leaves_no_invitation(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("accounts.services.invitations.send_mail", down)

    answer = logged_in(alice).post(
        "/v1/invitations", {"email": "x@example.com", "role": "viewer"}, content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (503, "mail_unavailable")
    with platform_scope(reason="look"):
        assert not Invitation.objects.exists()


def test_a_closed_tenants_invitation_is_dead(alice: User, charlie: User, tenant: Tenant) -> None:
    token = invite(alice, "charlie@example.com")
    tenant_set_state(tenant_id=tenant.pk, state="closed", actor=SYSTEM)

    assert accept(charlie, token).json()["code"] == "invitation_invalid"


def test_the_token_is_stored_as_a_hash_only(alice: User) -> None:
    token = invite(alice)

    with platform_scope(reason="look"):
        stored = Invitation.objects.values_list("token_hash", flat=True).get()
    assert token not in stored
    assert len(stored) == 64


def test_a_key_cannot_accept(api, alice: User) -> None:
    answer = api.post("/v1/invitations/accept", {"token": invite(alice)})

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_resellers_customer_is_verified_by_its_first_verified_member(tenant: Tenant, charlie: User) -> None:
    with platform_scope(reason="a reseller invites"):
        invitation_create(tenant=tenant, email="charlie@example.com", role="owner", actor=SYSTEM, by_owner=True)
    found = re.search(r"/invitations/(\w+)", str(mail.outbox[-1].body))
    assert found

    invitation_accept(token=found.group(1), user=charlie, actor=Actor.user(charlie))

    with platform_scope(reason="look"):
        assert Tenant.objects.get(pk=tenant.pk).verified_at is not None
        assert OutboxEvent.objects.filter(topic="user.verified", tenant=tenant).count() == 1


def test_one_invitation_accepted_twice_at_once_makes_one_member(real_db: None, alice: User, charlie: User) -> None:
    token = invite(alice, "charlie@example.com")

    roles = in_threads(2, lambda _: invitation_accept(token=token, user=charlie, actor=Actor.user(charlie)).role)

    assert roles == ["developer", "developer"]
    with platform_scope(reason="look"):
        assert OutboxEvent.objects.filter(topic="member.joined").count() == 1


def test_inviting_anew_while_the_first_is_being_accepted_leaves_the_member(
    real_db: None, alice: User, charlie: User, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, is_held, check = invite(alice, "charlie@example.com"), Event(), invitations._require_open

    def check_later(found: Invitation) -> None:
        is_held.set()
        wait_for_a_waiter()
        check(found)

    def act(number: int) -> object:
        if number == 0:
            return invitation_accept(token=token, user=charlie, actor=Actor.user(charlie)).role
        is_held.wait()
        with tenant_scope(tenant.pk):
            return invitation_create(
                tenant=tenant, email="charlie@example.com", role="viewer", actor=SYSTEM, by_owner=True
            )

    monkeypatch.setattr(invitations, "_require_open", check_later)

    ends = in_threads(2, act)

    assert sorted(map(str, map(type, ends))) == sorted(map(str, (str, InvitationInvalid)))
    assert role_of(charlie, tenant) == "developer"


def wait_for_a_waiter() -> None:
    """Until another session waits for a lock that this one holds."""
    blocked = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    with connection.cursor() as cursor:
        while True:
            cursor.execute(blocked)
            if cursor.fetchone():
                return
