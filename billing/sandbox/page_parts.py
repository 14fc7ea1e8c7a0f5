"""The few pieces the pages are made of: a document, a table of figures, the card fields."""

from html import escape

_ZERO_DECIMAL = {
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "ugx",
    "vnd",
    "vuv",
    "xaf",
    "xof",
}
_ZERO_DECIMAL |= {"xpf"}

_STYLE = """
:root{color-scheme:light dark;--ink:#14262e;--paper:#fbfaf7;--line:#d5d9d6;--accent:#0b6e6e;--warn:#9a4a00}
@media(prefers-color-scheme:dark){:root{--ink:#e3e9e8;--paper:#101b20;
--line:#33444a;--accent:#5cc4bf;--warn:#f0b26b}}
body{font:16px/24px system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;
max-width:480px;padding:32px 16px}
h1{font-size:20px;line-height:24px}h2{font-size:16px;margin-top:32px}a{color:var(--accent)}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
td{padding:8px 0;border-bottom:1px solid var(--line)}td+td{text-align:right;padding-left:16px}tr.sum td{font-weight:600}
label{display:block;margin:16px 0 4px}input{font:inherit;color:inherit;background:transparent;
border:1px solid var(--line);border-radius:4px;padding:8px;width:100%;box-sizing:border-box}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:16px}
button{font:inherit;margin-top:24px;padding:8px 16px;border:1px solid var(--accent);border-radius:4px;
background:var(--accent);color:var(--paper);cursor:pointer}button.plain{background:transparent;color:var(--accent);margin-top:0}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}.quiet{opacity:.75}
.notice{border-left:3px solid var(--warn);padding:4px 12px}footer{margin-top:48px;font-size:14px}
"""


def document(title: str, body: str) -> str:
    """A whole page; `body` is HTML, `title` is text."""
    name = escape(title)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<link rel=icon href='data:,'>"
        f"<title>{name}</title><style>{_STYLE}</style></head><body><main><h1>{name}</h1>{body}</main>"
        "<footer class=quiet>Payment sandbox. No real card works here, and no money moves.</footer></body></html>"
    )


def notice(text: str) -> str:
    """Something the reader should notice; read aloud at once by a screen reader."""
    return f"<p class=notice role=alert>{escape(text)}</p>"


def figures(rows: list[tuple[str, str, str]], total: tuple[str, str] | None = None) -> str:
    """A table of text, note and amount, with a sum."""
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    if total:
        cells += f"<tr class=sum><td>{escape(total[0])}</td><td></td><td>{escape(total[1])}</td></tr>"
    return f"<table>{cells}</table>"


def money(amount: int, currency: str) -> str:
    """`CNY 1,234.50` from minor units."""
    sign = "−" if amount < 0 else ""
    if currency in _ZERO_DECIMAL:
        return f"{sign}{currency.upper()} {abs(amount):,}"
    whole, cents = divmod(abs(amount), 100)
    return f"{sign}{currency.upper()} {whole:,}.{cents:02d}"


def card_fields(form: dict[str, str], *, ask_email: bool) -> str:
    """Card number, expiry and security code (and who pays, where that is not known)."""
    out = ""
    if ask_email:
        out += _field("email", "E-mail", form, "type=email required autocomplete=email")
    out += _field("number", "Card number", form, "required inputmode=numeric autocomplete=cc-number")
    out += "<div class=pair><div>" + _field("expiry", "Expiry (MM / YY)", form, "required autocomplete=cc-exp")
    out += (
        "</div><div>"
        + _field("cvc", "Security code", {}, "required inputmode=numeric autocomplete=cc-csc")
        + "</div></div>"
    )
    return out


def _field(name: str, label: str, form: dict[str, str], attributes: str) -> str:
    value = escape(form.get(name, ""))
    return f'<label for={name}>{label}</label><input id={name} name={name} value="{value}" {attributes}>'
