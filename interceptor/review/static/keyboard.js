// Single keys for who works the list all day; they can be switched off (WCAG 2.1.4), and nothing needs them.
{
  const KEYS = "single-keys";
  const areOn = () => localStorage.getItem(KEYS) !== "off";
  const dialog = document.querySelector("[data-help-dialog]");
  const announce = (text) => { const place = document.querySelector("[data-announce]"); if (place) place.textContent = text; };

  for (const button of document.querySelectorAll("[data-help]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog?.showModal());
  }
  const keysSwitch = document.querySelector("[data-keys-switch]");
  if (keysSwitch) {
    keysSwitch.checked = areOn();
    keysSwitch.addEventListener("change", () => localStorage.setItem(KEYS, keysSwitch.checked ? "on" : "off"));
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) break;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      announce(`${button.dataset.copy} copied`);
    });
  }
  // One menu open at a time, Escape closes it and gives the focus back.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  const rows = () => [...document.querySelectorAll("tr.order")];
  const current = () => document.activeElement?.closest("tr.order");
  const move = (step) => {
    const list = rows();
    if (!list.length) return;
    const index = list.indexOf(current());
    const next = list[Math.min(list.length - 1, Math.max(0, index < 0 ? (step > 0 ? 0 : list.length - 1) : index + step))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const openAct = (key) => {
    const act = document.querySelector(`[data-act="${key}"]`);
    if (!act) return false;
    act.open = true;
    act.querySelector("select, input:not([type=hidden]), button:not([data-key])")?.focus();
    act.scrollIntoView({ block: "nearest" });
    return true;
  };
  const openRow = (row, hash = "") => { if (row) location.href = `/orders/${row.dataset.order}${hash}`; };
  const claimRow = (row) => {
    const box = row.querySelector('input[name="order"]'), form = document.getElementById("bulk");
    const button = document.querySelector("[data-claim]");
    if (!box || !form || !button) return;
    for (const other of document.querySelectorAll('input[name="order"]')) other.checked = other === box;
    form.requestSubmit(button);
  };

  const ACTIONS = {
    j: () => move(1),
    k: () => move(-1),
    c: () => { const row = current(); if (row) claimRow(row); else document.querySelector('[data-key="c"]')?.click(); },
    r: () => { if (!openAct("r")) openRow(current(), "#release"); },
    b: () => { if (!openAct("b")) openRow(current(), "#return"); },
    m: () => { if (!openAct("m")) openRow(current(), "#change"); },
    n: () => { if (document.querySelector("[data-order-page]")) location.href = `/next?after=${document.querySelector("[data-order-page]").dataset.orderPage}`; else openRow(rows()[0]); },
    u: () => document.querySelector('[data-key="u"]')?.click(),
    "/": () => document.getElementById("search")?.focus(),
    "?": () => dialog?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = document.querySelector("details.menu[open]");
      if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
      return;
    }
    const isField = event.target.matches("input:not([type=checkbox]):not([type=radio]), select, textarea, [contenteditable]");
    if (isField || event.ctrlKey || event.metaKey || event.altKey || dialog?.open || !areOn()) return;
    if (event.key === "Enter") {
      if (event.target.matches("tr.order")) { event.preventDefault(); openRow(event.target); }
      return;
    }
    const act = ACTIONS[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  // A key on the list that decides something opens the order with the form ready: /orders/17#release.
  const wanted = { "#release": "r", "#return": "b", "#change": "m" }[location.hash];
  if (wanted) openAct(wanted);

  // The undo window in seconds, from the server's time.
  for (const place of document.querySelectorAll("[data-undo-until]")) {
    const served = Date.parse(document.body.dataset.servedAt ?? ""), ahead = Number.isNaN(served) ? 0 : Date.now() - served;
    const timer = setInterval(() => {
      const left = Math.ceil((Date.parse(place.dataset.undoUntil) - (Date.now() - ahead)) / 1000);
      if (left > 0) { place.textContent = `in ${left} s`; return; }
      clearInterval(timer);
      place.textContent = "now";
      place.closest(".undo")?.querySelector("form")?.remove();
    }, 250);
  }
}
