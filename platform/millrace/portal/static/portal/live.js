// What a page needs to be live. Everything here improves a page that works without it.
"use strict";

(() => {
  // The colours switch at once; the form does the same with a reload.
  for (const form of document.querySelectorAll("[data-theme-switch]")) {
    form.addEventListener("submit", (event) => {
      const theme = event.submitter && event.submitter.value;
      if (!theme) return;
      event.preventDefault();
      const chosen = theme === "light" || theme === "dark";
      document.cookie = chosen
        ? `theme=${theme}; path=/; max-age=31536000; samesite=lax`
        : "theme=; path=/; max-age=0; samesite=lax";
      if (chosen) document.documentElement.dataset.theme = theme;
      else delete document.documentElement.dataset.theme;
      for (const button of form.querySelectorAll("button")) {
        if (button.value === theme) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      }
    });
  }

  // One open menu at a time; Escape or a click elsewhere closes it.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A destructive button asks once, naming what it destroys.
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  // A second click on a form that is on its way sends nothing; coming back to the page opens it again.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // A running job: its events say when to fetch the changing part anew; at most one fetch a second and a half.
  for (const place of document.querySelectorAll("[data-live-job]")) {
    const stream = new EventSource(place.dataset.liveJob);
    let waiting = null;
    const refresh = () => {
      if (waiting) return;
      waiting = setTimeout(async () => {
        waiting = null;
        await window.htmx.ajax("GET", place.dataset.refresh, { target: place, swap: "innerHTML" });
      }, 1500);
    };
    for (const kind of ["state", "progress", "metric", "checkpoint", "stop_asked", "started"]) {
      stream.addEventListener(kind, refresh);
    }
    stream.addEventListener("end", () => {
      stream.close();
      clearTimeout(waiting);
      window.location.reload();
    });
    window.addEventListener("pagehide", () => stream.close());
  }

  // A copy button beside what is worth copying.
  for (const source of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    source.after(button);
  }
})();
