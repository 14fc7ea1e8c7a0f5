"""The portal's own words in templates: money, quantities, times, identifiers, and the components."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.conf import settings
from django.forms import BoundField
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from millrace.kernel.ids import typeid
from millrace.kernel.money import Money, exponent
from millrace.portal import charts, meters, origins

register = template.Library()
_NBSP = "\u00a0"
_ACRONYMS = {"mrr", "arpa", "grr", "nrr", "ltv", "cac", "csat", "nps"}
# How a state reads at a glance; what is not named here is shown plainly.
_TONES = {
    "good": {"active", "succeeded", "paid", "valid", "champion", "accepted", "verified", "delivered", "bound", "released"},
    "live": {"running", "validating", "trialing", "processing", "open", "pending", "queued", "serving", "held"},
    "warn": {"past_due", "paused", "expiring", "review", "uncollectible", "incomplete", "draft_held", "challenger"},
    "alarm": {"failed", "aborted", "suspended", "disputed", "invalid", "unpaid", "rejected"},
    "off": {"canceled", "closed", "revoked", "expired", "void", "archived", "draft", "withdrawn"},
}  # fmt: skip


@register.filter
def money(amount: Any, currency: str = "") -> SafeString | str:
    """`CNY 1,234.50` from minor units and a currency, or from Money or the API's `{"amount", "currency"}`."""
    if amount is None or amount == "":
        return "–"
    if isinstance(amount, Money):
        amount, currency = amount.amount, amount.currency
    elif isinstance(amount, dict):
        amount, currency = amount["amount"], amount["currency"]
    places = exponent(currency)
    number = f"{Decimal(abs(amount)).scaleb(-places):,.{places}f}"
    return format_html(
        '<span class="nowrap"><span class="unit">{}</span> {}{}</span>', currency, "−" if amount < 0 else "", number
    )


@register.filter
def number(value: Any) -> str:
    """An integer with thousands separators, a typographic minus and a dash for nothing."""
    if value is None or value == "":
        return "–"
    return f"{value:,}".replace("-", "−")


@register.filter
def quantity(value: Any, meter: str = "") -> SafeString | str:
    """A metered integer with its meter's unit: `412,870 ms`."""
    if value is None or value == "":
        return "–"
    words = meters.words_of(meter)
    if words is None:
        return number(value)
    return format_html('<span class="nowrap">{} <span class="unit">{}</span></span>', number(value), words.unit)


@register.filter
def meter_name(meter: str) -> str:
    """`GPU time, h100` of `gpu_ms:h100`."""
    return meters.label(meter)


@register.filter
def duration(milliseconds: Any) -> str:
    """`52.9 s`, `6 min 53 s`, `2 h 1 min` from milliseconds."""
    if milliseconds is None or milliseconds == "":
        return "–"
    tenths = round(Decimal(int(milliseconds)) / 100)
    if tenths < 600:
        return f"{Decimal(tenths) / 10:.1f}{_NBSP}s"
    # Rounded before it is split: there are no 60 seconds of a minute.
    minutes, seconds = divmod(round(Decimal(int(milliseconds)) / 1000), 60)
    if minutes < 60:
        return f"{minutes}{_NBSP}min {seconds}{_NBSP}s"
    hours, left = divmod(minutes, 60)
    return f"{hours:,}{_NBSP}h {left}{_NBSP}min"


@register.filter
def bytes_size(value: Any) -> str:
    """`1.4 MB` from bytes (decimal units)."""
    if value is None or value == "":
        return "–"
    size = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f}{_NBSP}{unit}" if unit == "B" else f"{size:.1f}{_NBSP}{unit}"
        size /= 1000
    return "–"


@register.filter
def percent(value: Any, places: int = 1) -> str:
    """`98.6 %` from a share between 0 and 1."""
    return "–" if value is None or value == "" else f"{Decimal(str(value)) * 100:.{places}f}{_NBSP}%"


@register.filter
def moment(value: datetime | str | None, zone: str = "UTC") -> SafeString | str:
    """A time with its zone, `21 Nov 2026, 21:12 UTC`, machine-readable beside it."""
    if not value:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    local = at.astimezone(ZoneInfo(zone))
    return format_html('<time datetime="{}" class="nowrap">{} {}</time>', local.isoformat(timespec="seconds"),
                       f"{local.day} {local:%b %Y, %H:%M}", local.tzname())  # fmt: skip


@register.filter
def day(value: Any) -> str:
    """`21 Nov 2026` of a date or a time."""
    return "–" if not value else f"{value.day}{_NBSP}{value:%b}{_NBSP}{value:%Y}"


@register.filter
def public(value: Any, prefix: str) -> str:
    """A UUID's public spelling: `{{ job_id|public:"job" }}`."""
    return typeid(prefix, value) if value else "–"


@register.filter
def identifier(value: Any) -> SafeString | str:
    """A public identifier, set as code."""
    return format_html('<span class="id">{}</span>', value) if value else "–"


@register.filter
def plain(value: Any) -> str:
    """`past_due` as `past due`."""
    return str(value).replace("_", " ")


@register.filter
def heading(name: str) -> str:
    """A column's name over its column: `new_paying` as `New paying`, `mrr` as `MRR`."""
    return name.upper() if name in _ACRONYMS else plain(name)[:1].upper() + plain(name)[1:]


@register.filter
def formula(text: str) -> SafeString | str:
    """A definition as the API words it, with other columns' names readable and parameters set as code."""
    parts = plain(text).split("`")
    marked = [
        format_html("<code>{}</code>", part) if at % 2 else conditional_escape(part) for at, part in enumerate(parts)
    ]
    return mark_safe("".join(marked))  # noqa: S308 - every part is escaped


@register.filter
def told(value: Any) -> SafeString | str:
    """A value of an audit entry's data, for people."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
        return money(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


@register.simple_tag
def status(state: Any, text: str = "") -> SafeString:
    """A state with a mark whose shape, not only its colour, says how it is."""
    tone = next((tone for tone, states in _TONES.items() if str(state) in states), "")
    return format_html('<span class="tag {}">{}</span>', tone, text or plain(state))


@register.filter(name="json")
def as_json(value: Any) -> str:
    """Readable JSON, escaped by the template as any text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.simple_tag
def sparkline(values: Sequence[Any], label: str) -> SafeString:
    """A row's little curve; `label` says in words what it shows."""
    points = charts.spark(values)
    if not points:
        return mark_safe('<span class="soft">–</span>')
    return format_html('<svg class="spark" viewBox="0 0 96 20" role="img" aria-label="{}">'
                       '<polyline class="line s1" points="{}"/></svg>', label, points)  # fmt: skip


@register.simple_tag
def share_bar(value: Any, whole: Any, colour: int = 1) -> SafeString:
    """A bar in a table's cell, for the eye; the figure stands in the next cell."""
    width = round(100 * float(value or 0) / float(whole), 2) if whole else 0
    return format_html('<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
                       '<rect class="f{}" width="{}" height="8"/></svg>', colour, max(width, 0))  # fmt: skip


@register.inclusion_tag("portal/components/field.html")
def field(bound: BoundField, label: str = "") -> dict:
    """A form's field with its label, help and errors."""
    kind = getattr(bound.field.widget, "input_type", "")
    return {
        "field": bound,
        "label": label or bound.label,
        "is_check": kind == "checkbox" and not bound.field.widget.use_fieldset,
        "is_group": bound.field.widget.use_fieldset,
    }


@register.inclusion_tag("portal/components/figure.html")
def figure(label: str, value: Any, href: str = "", note: str = "") -> dict:
    """One figure of a `<dl class="figures">`; `href` leads to what it is made of."""
    return {"label": label, "value": value, "href": href, "note": note}


@register.inclusion_tag("portal/components/progress.html")
def progress(value: Any, whole: Any = 100, label: str = "Progress", text: str = "") -> dict:
    """A progress bar with its figure."""
    share = float(value or 0) / float(whole) if whole else 0.0
    return {"value": value or 0, "whole": whole, "label": label, "text": text or f"{share:.0%}"}


@register.inclusion_tag("portal/components/chart.html")
def chart(drawn: charts.Chart, table: bool = True) -> dict:
    """A chart with its table beside it."""
    return {"chart": drawn, "with_table": table}


@register.inclusion_tag("portal/components/pagination.html")
def pagination(page: dict) -> dict:
    """Leads to older rows."""
    return {"page": page}


@register.simple_tag(takes_context=True)
def came_through(context: template.Context) -> str:
    """Whose link brought this visitor."""
    return origins.came_through(context["request"])


@register.simple_block_tag
def blank(content: str, title: str, method: str = "", path: str = "", body: str = "") -> SafeString:
    """An empty state: what this will hold, what to do next, and the curl line that does the same."""
    line = format_html('<pre tabindex="0"><code>{}</code></pre>', curl(method, path, body)) if path else ""
    return format_html('<div class="empty"><h2>{}</h2>{}{}</div>', title, mark_safe(content), line)  # noqa: S308


@register.inclusion_tag("portal/components/door.html")
def door(*calls: str) -> dict:
    """How the API does what the page does: each call is `GET /v1/jobs` or `POST /v1/jobs {"json": "body"}`."""
    parts = [call.split(" ", 2) for call in calls]
    return {"lines": [curl(part[0], part[1], part[2] if len(part) > 2 else "") for part in parts]}


def curl(method: str, path: str, body: str = "") -> str:
    """A line for a shell; the key comes from the environment, so that it lands in no history."""
    lines = ["curl" if method == "GET" else f"curl -X {method}", f'"{settings.PUBLIC_BASE_URL}{path}"']
    lines.append('-H "Authorization: Bearer $MILLRACE_KEY"')
    if method == "POST" and not path.endswith("/predict"):
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if body.startswith("-F"):
        lines.append(body)
    elif body:
        lines += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    return " \\\n  ".join([f"{lines[0]} {lines[1]}", *lines[2:]])
