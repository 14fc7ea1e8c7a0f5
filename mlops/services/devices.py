"""Devices and the time they are supervised."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Greatest

from millrace.kernel import clock
from mlops import policy
from mlops.models import Device, DeviceSession


def device_register(
    *, name: str, device_class: str, memory_bytes: int = 0, hourly_cost: int = 0, cost_currency: str = "CNY"
) -> Device:
    """The device of that name, made or refreshed. `hourly_cost` is what the company pays for it, in minor units."""
    device, _ = Device.objects.update_or_create(
        name=name,
        defaults={
            "device_class": device_class,
            "memory_bytes": memory_bytes,
            "hourly_cost": hourly_cost,
            "cost_currency": cost_currency,
        },
    )
    return device


def session_start(*, device: Device, worker: str, purpose: str) -> DeviceSession:
    """Supervision of the device begins now. The caller holds the device's lock file: one session at a time."""
    now_ms = clock.boot_ms()
    with transaction.atomic():
        # One writer at a time gives out lanes; sessions begin rarely.
        list(Device.objects.select_for_update().order_by("pk"))
        lane = (DeviceSession.objects.aggregate(last=Max("lane"))["last"] or 0) + 1
        return DeviceSession.objects.create(
            device=device,
            purpose=purpose,
            worker=worker,
            lane=lane,
            boot_id=clock.boot_id(),
            started_ms=now_ms,
            last_ms=now_ms,
            seen_at=clock.now(),
        )


def session_seen(session_id: UUID, *, until_ms: int) -> None:
    """Supervision went on until then; it never goes back."""
    DeviceSession.objects.filter(pk=session_id).update(
        last_ms=Greatest(F("last_ms"), until_ms), seen_at=clock.now(), ended_at=None
    )


def session_end(session_id: UUID) -> None:
    """Supervision ends now."""
    DeviceSession.objects.filter(pk=session_id).update(
        last_ms=Greatest(F("last_ms"), clock.boot_ms()), seen_at=clock.now(), ended_at=clock.now()
    )


def sessions_reap() -> int:
    """Mark sessions that fell silent as ended, where they were last seen: a dead worker accrues no time (J9)."""
    silent = clock.now() - policy.SESSION_LEASES * max(policy.lease(), timedelta(seconds=15))
    return DeviceSession.objects.filter(ended_at__isnull=True, seen_at__lt=silent).update(ended_at=F("seen_at"))
