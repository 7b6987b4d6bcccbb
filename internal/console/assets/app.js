// What pages of the console need beside htmx: the viewer's time zone, a word when the server is
// away, and a log that stays at its end.
(() => {
  "use strict";

  // The server writes times in the zone that this cookie names. A page that it wrote in another
  // one is asked for again, once.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const cookie = "__Host-keepward-zone=" + encodeURIComponent(zone);
  const kept = () => document.cookie.split("; ").includes(cookie);
  if (!kept()) {
    document.cookie = cookie + "; Path=/; Secure; SameSite=Strict; Max-Age=31536000";
    const login = document.querySelector(".login");
    if (kept() && !login && document.documentElement.dataset.zone !== zone) location.reload();
  }

  const stale = (is) => {
    const note = document.getElementById("stale");
    if (note) note.hidden = !is;
  };
  const trouble = (status) => {
    if (status === 401) {
      location.assign("/login?why=expired&next=" + encodeURIComponent(location.pathname + location.search));
      return;
    }
    stale(true);
  };
  document.addEventListener("htmx:sse:error", (e) => trouble(e.detail.status));
  document.addEventListener("htmx:sse:after:connection", () => stale(false));
  document.addEventListener("htmx:response:error", (e) => trouble(e.detail.ctx.response.status));
  document.addEventListener("htmx:error", () => stale(true));

  const log = document.querySelector(".log");
  if (log) {
    let atEnd = true;
    const toEnd = () => { log.scrollTop = log.scrollHeight; };
    toEnd();
    log.addEventListener("scroll", () => { atEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 8; });
    document.addEventListener("htmx:after:swap", () => { if (atEnd) toEnd(); });
  }
  document.addEventListener("htmx:after:swap", () => stale(false));

  // In the week, arrows lead from hour to hour.
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  document.addEventListener("keydown", (e) => {
    const step = steps[e.key];
    const cell = e.target.closest(".week td");
    if (!step || !cell) return;
    const row = cell.parentElement.parentElement.rows[cell.parentElement.rowIndex - 1 + step[0]];
    const next = row?.cells[cell.cellIndex + step[1]]?.querySelector("input");
    if (!next) return;
    next.focus();
    e.preventDefault();
  });

  // What was wrong with an input is judged anew once it is changed.
  document.addEventListener("input", (e) => e.target.removeAttribute("aria-invalid"));
})();
