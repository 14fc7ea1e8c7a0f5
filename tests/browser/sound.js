// What every page must be, as a browser sees it at its present size and colours. Answers a list of faults in words.
// With `whole` also what colours do not change: names, labels, and whether the focus can be had and seen.
(whole) => {
  const faults = [];
  const name = (el) => {
    const id = el.id ? `#${el.id}` : "";
    return `<${el.tagName.toLowerCase()}${id} class="${el.getAttribute("class") || ""}"> ${(el.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40)}`;
  };
  const seen = (el) => el.checkVisibility({ visibilityProperty: true }) && el.getClientRects().length > 0;
  const hiddenForEyes = (el) => Boolean(el.closest(".visually-hidden, .skip"));

  const root = document.documentElement;
  const wider = root.scrollWidth - root.clientWidth;
  if (wider > 0) {
    const out = [...document.querySelectorAll("body *")].filter((el) => seen(el) && !hiddenForEyes(el)
      && el.getBoundingClientRect().right > root.clientWidth + 0.5 && !el.closest(".scroll, .plot, pre, svg"));
    faults.push(`${wider} px wider than the screen: ${out.slice(-3).map(name).join(" | ")}`);
  }
  for (const el of root.clientWidth < 1200 ? [] : document.querySelectorAll(".scroll:not([tabindex])")) {
    const hidden = el.scrollWidth - el.clientWidth;
    if (seen(el) && hidden > 0) faults.push(`${hidden} px of a table are out of sight on a screen: ${name(el)}`);
  }
  const opened = [...document.querySelectorAll("details:not([open])")];
  for (const one of opened) one.open = true;

  if (whole) {
    const headings = document.querySelectorAll("h1").length;
    if (headings !== 1) faults.push(`${headings} h1`);
    if (!/\S.* · Millrace$/.test(document.title)) faults.push(`title: ${JSON.stringify(document.title)}`);
    if (!root.lang) faults.push("no language");
    const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
    for (const id of new Set(ids.filter((one, at) => ids.indexOf(one) !== at))) faults.push(`id twice: ${id}`);

    for (const el of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
      const words = [...(el.labels || [])].map((label) => label.textContent.trim()).join("");
      if (!words && !el.getAttribute("aria-label") && !document.getElementById(el.getAttribute("aria-labelledby"))) {
        faults.push(`no label: ${name(el)} name=${el.name}`);
      }
    }
    for (const el of document.querySelectorAll("a, button, summary")) {
      if (!el.textContent.trim() && !el.getAttribute("aria-label")) faults.push(`no words: ${name(el)}`);
      if (el.tagName === "A" && !el.hasAttribute("href")) faults.push(`leads nowhere: ${name(el)}`);
    }
    for (const el of document.querySelectorAll("table")) {
      if (!el.caption && !el.getAttribute("aria-labelledby")) faults.push("a table without a name");
    }
  }

  // Contrast, WCAG 2: 4.5 for every text, whatever its size; what is disabled is exempt.
  const parse = (text) => {
    const found = text.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/);
    if (!found) throw new Error(`a colour that this check cannot read: ${text}`);
    return [Number(found[1]), Number(found[2]), Number(found[3]), found[4] === undefined ? 1 : Number(found[4])];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (el) => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) layers.unshift(parse(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const contrast = (el) => {
    const style = getComputedStyle(el);
    let ink = parse(el instanceof SVGElement ? style.fill : style.color);
    for (let at = el; at; at = at.parentElement) ink = [...ink.slice(0, 3), ink[3] * Number(getComputedStyle(at).opacity)];
    const below = ground(el);
    const [a, b] = [light(over(ink, below)), light(below)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const texts = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() && !el.closest("script, style, noscript, option, title, desc")) texts.add(el);
  }
  for (const el of document.querySelectorAll("input:not([type=hidden], [type=checkbox], [type=radio], [type=file]), select, textarea")) texts.add(el);
  for (const el of texts) {
    if (!seen(el) || hiddenForEyes(el) || el.closest(":disabled, [aria-disabled=true]")) continue;
    const value = contrast(el);
    if (value < 4.5) faults.push(`contrast ${value.toFixed(2)}: ${name(el)}`);
  }

  const focusable = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  for (const el of whole ? document.querySelectorAll(focusable) : []) {
    if (!seen(el) || el.disabled) continue;
    el.focus({ preventScroll: true });
    const style = getComputedStyle(el);
    if (document.activeElement !== el) faults.push(`cannot have the focus: ${name(el)}`);
    else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) faults.push(`its focus is not seen: ${name(el)}`);
  }
  for (const one of opened) one.open = false;
  if (document.activeElement) document.activeElement.blur();
  return faults;
}
