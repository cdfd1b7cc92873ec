// Choose light or dark before the first paint, and let people change it; the choice is a cookie the server can read.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const choice = () => (document.cookie.match(/(?:^|; )theme=(light|dark)(?:;|$)/) || [])[1] || "auto";
  const show = () => {
    root.dataset.bsTheme = choice() === "auto" ? (dark.matches ? "dark" : "light") : choice();
    document.querySelectorAll("[data-theme-choice]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice()));
    });
  };
  root.dataset.script = "on";
  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (!button) return;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${button.dataset.themeChoice}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    show();
  });
})();
