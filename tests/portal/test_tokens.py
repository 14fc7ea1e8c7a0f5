"""The tokens: every colour has its light and its dark value, and what is written in them can be read."""

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "platform/millrace/portal/static/portal"
_PAIR = re.compile(r"--([a-z0-9-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|oklch|color)a?\(")
TOKENS = (STATIC / "tokens.css").read_text()
COLOURS = {name: (light, dark) for name, light, dark in _PAIR.findall(TOKENS)}

TEXT_ON_GROUND = [
    *[(text, ground) for text in ("ink", "ink-soft", "accent", "warn", "alarm") for ground in ("paper", "raised", "sunk")],
    *[(f"series-{number}", "paper") for number in range(1, 7)],
    *[("ink", ground) for ground in ("accent-wash", "warn-wash", "alarm-wash")],
    ("accent-deep", "accent-wash"), ("alarm", "alarm-wash"), ("alarm", "paper"), ("on-accent", "accent"),
    ("on-accent", "accent-deep"), ("accent-deep", "paper"),
]  # fmt: skip


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio by WCAG 2.2, 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_formula_knows_its_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_has_its_dark_twin() -> None:
    assert len(COLOURS) >= 20
    assert len(_COLOUR.findall(TOKENS)) == 2 * len(COLOURS), "a colour stands outside light-dark(light, dark)"


@pytest.mark.parametrize(("text", "ground"), TEXT_ON_GROUND)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(text: str, ground: str, theme: int) -> None:
    ratio = contrast(COLOURS[text][theme], COLOURS[ground][theme])

    assert ratio >= 4.5, f"{text} on {ground}: {ratio:.2f}"


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_borders_of_inputs_can_be_seen(theme: int) -> None:
    assert contrast(COLOURS["hairline-strong"][theme], COLOURS["paper"][theme]) >= 3


def test_the_stylesheet_takes_colours_from_tokens_only() -> None:
    sheet = (STATIC / "portal.css").read_text()

    assert not _COLOUR.findall(sheet)
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", sheet))
    defined = set(re.findall(r"--([a-z0-9-]+):", TOKENS))
    assert used <= defined, f"unknown tokens: {used - defined}"


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_static_files_name_no_host(path: Path) -> None:
    found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"')]*", path.read_text())

    assert [one for one in found if "www.w3.org/2000/svg" not in one] == []
