// Live updates of the worklist and of an open order. The server says what changed (review/live.py); this file puts rows
// where their sort key says, never moves or takes away the row that has the focus, and tells when the line is lost.
{
  const place = document.querySelector("[data-live]");
  const SILENT = 25_000; // The server gives a beat every 10 s.
  if (place && "EventSource" in window) {
    const body = document.querySelector("[data-rows]");
    const lostBar = document.querySelector("[data-lost]"), pauseButton = document.querySelector("[data-pause]");
    const newBar = document.querySelector("[data-new]");
    let heard = Date.now(), isPaused = false, waiting = [];

    const isBusy = (row) => row.contains(document.activeElement) || row.querySelector("input:checked");
    const pageSize = body ? Math.max(25, body.children.length) : 0;
    const showEmpty = () => {
      const empty = document.querySelector("[data-empty]");
      if (empty && body) empty.hidden = body.querySelector("tr.order") !== null;
    };
    const parse = (html) => {
      const template = document.createElement("template");
      template.innerHTML = html.trim();
      return template.content.querySelector("tr");
    };
    const take = (change) => {
      const old = document.getElementById(`order-${change.order}`);
      if (change.gone) {
        if (!old) return;
        if (isBusy(old)) {
          // The person stands on it: it stays where it is, says what happened, and goes when the focus does.
          old.classList.add("gone");
          const time = old.querySelector(".time");
          if (time) time.textContent = "decided";
          old.addEventListener("focusout", () => setTimeout(() => { if (!isBusy(old)) { old.remove(); showEmpty(); } }), { once: true });
        } else old.remove();
        return;
      }
      const row = parse(change.html);
      if (!row) return;
      if (old && isBusy(old)) {
        // Same place, new content; the focus stays on the row itself or on the part that has it.
        old.dataset.version = row.dataset.version;
        if (document.activeElement === old) old.innerHTML = row.innerHTML;
        return;
      }
      old?.remove();
      const before = [...body.querySelectorAll("tr.order")].find((other) => other.dataset.sort > row.dataset.sort);
      if (!before && body.children.length >= pageSize && document.querySelector('a[rel="next"]')) return;
      row.classList.add("fresh");
      body.insertBefore(row, before ?? null);
    };
    const showRange = () => {
      const range = document.querySelector("[data-range]"), count = document.querySelector(".tabs [aria-current] [data-count]")?.textContent;
      const shown = body?.querySelectorAll("tr.order:not(.gone)").length;
      if (range && count) range.textContent = shown ? `1-${shown} of ${count}` : "no orders";
    };
    const apply = (changes) => {
      for (const change of changes) take(change);
      showEmpty();
      showRange();
      document.dispatchEvent(new Event("review:rows"));
    };
    const receive = (change) => {
      if (!body) return;
      if (!isPaused) { apply([change]); return; }
      waiting.push(change);
      const count = new Set(waiting.filter((one) => !one.gone && !document.getElementById(`order-${one.order}`)).map((one) => one.order)).size;
      newBar.querySelector("[data-new-count]").textContent = count;
      newBar.hidden = false;
    };
    const resume = () => {
      isPaused = false;
      pauseButton.setAttribute("aria-pressed", "false");
      pauseButton.querySelector("[data-pause-text]").textContent = "Pause";
      newBar.hidden = true;
      apply(waiting.splice(0));
    };
    if (pauseButton && body) {
      pauseButton.hidden = false;
      pauseButton.addEventListener("click", () => {
        if (isPaused) { resume(); return; }
        isPaused = true;
        pauseButton.setAttribute("aria-pressed", "true");
        pauseButton.querySelector("[data-pause-text]").textContent = "Resume";
      });
      document.querySelector("[data-resume]")?.addEventListener("click", resume);
    }
    const showLost = (isLost) => {
      if (!lostBar || lostBar.hidden !== isLost) return;
      lostBar.hidden = !isLost;
      if (isLost) lostBar.querySelector("[data-lost-since]").textContent = new Date(heard).toLocaleTimeString();
    };

    const separator = place.dataset.live.includes("?") ? "&" : "?";
    const source = new EventSource(`${place.dataset.live}${separator}after=${place.dataset.after}`);
    const on = (name, act) => source.addEventListener(name, (event) => {
      heard = Date.now();
      showLost(false);
      act?.(JSON.parse(event.data));
    });
    on("beat");
    on("row", (data) => receive(data));
    on("gone", (data) => receive({ ...data, gone: true }));
    on("counts", (data) => {
      for (const [tab, count] of Object.entries(data)) {
        const shown = document.querySelector(`[data-count="${tab}"]`);
        if (shown) shown.textContent = count;
      }
      showRange();
    });
    on("order", (data) => {
      if (String(data.version) !== place.dataset.version) document.body.dispatchEvent(new Event("review:changed"));
    });
    on("reload", () => { if (!document.activeElement?.closest("tr.order, form")) location.reload(); });
    on("drain");
    setInterval(() => showLost(Date.now() - heard > SILENT), 2000);
    addEventListener("pagehide", () => source.close());
  }
}
