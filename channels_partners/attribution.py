"""Who brought this customer? Pure rules, no database.

Precedence: reseller or deal > coupon > click (the last one within its window) > direct. A reseller that creates the
tenant stands before a deal, because it pays for it; among deals the one registered first wins, among coupons there
is one, among clicks the last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

CLICK_WINDOW = timedelta(days=30)
ORDER = ("reseller", "deal", "coupon", "click")

# Mail providers that anybody may use: sharing one of these domains with a partner proves nothing.
PUBLIC_MAIL_DOMAINS = frozenset(
    {
        "126.com", "139.com", "163.com", "aliyun.com", "aol.com", "fastmail.com", "foxmail.com",
        "gmail.com", "gmx.de", "gmx.net", "googlemail.com", "hotmail.com", "icloud.com", "live.com", "mail.com",
        "mail.ru", "me.com", "msn.com", "naver.com", "outlook.com", "pm.me", "proton.me", "protonmail.com", "qq.com",
        "sina.com", "sohu.com", "web.de", "yahoo.co.jp", "yahoo.com", "yandex.ru", "yeah.net", "zoho.com",
    }
)  # fmt: skip
_DOTS_IGNORED = frozenset({"gmail.com", "googlemail.com"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """One piece of evidence: of what `kind`, for which row, since when, and until when it counts (None: for ever)."""

    kind: str
    id: UUID
    at: datetime
    until: datetime | None = None


def choose(candidates: Iterable[Candidate], *, at: datetime) -> Candidate | None:
    """The evidence that wins for a sign-up at `at`; None means direct. The order of `candidates` does not matter."""
    valid = [one for one in candidates if one.at <= at and (one.until is None or at <= one.until)]
    for kind in ORDER:
        found = sorted((one for one in valid if one.kind == kind), key=lambda one: (one.at, one.id))
        if found:
            return found[-1] if kind == "click" else found[0]
    return None


def domain_of(email: str) -> str:
    """The address's domain in lower case; empty for what is no address."""
    return email.rpartition("@")[2].strip().lower() if "@" in email else ""


def normal_mailbox(email: str) -> str:
    """The mailbox behind an address, however it is spelt: no `+tag`, no case, no dots where the provider ignores them."""
    name, _, domain = email.strip().lower().rpartition("@")
    name = name.partition("+")[0]
    if domain in _DOTS_IGNORED:
        name, domain = name.replace(".", ""), "gmail.com"
    return f"{name}@{domain}"


def self_referral_reasons(*, email: str, user_id: UUID | None, members: Sequence[tuple[UUID, str]]) -> list[str]:
    """Why a sign-up looks like the partner's own, given the partner's (user id, e-mail) members; empty if it does not."""
    reasons = []
    if user_id is not None and any(user_id == member_id for member_id, _ in members):
        reasons.append("same_user")
    if email and normal_mailbox(email) in {normal_mailbox(address) for _, address in members}:
        reasons.append("same_mailbox")
    domain = domain_of(email)
    if domain and domain not in PUBLIC_MAIL_DOMAINS and domain in {domain_of(address) for _, address in members}:
        reasons.append("same_mail_domain")
    return reasons
