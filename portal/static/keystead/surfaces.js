// Fold menus and dismiss messages; every page also works without it.
document.addEventListener("click", (event) => {
  event.target.closest("[data-dismiss]")?.closest("[data-dismissible]")?.remove();
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  });
});
document.addEventListener("submit", (event) => {
  // A double click is one wish: what was sent is not sent again while its answer is awaited. An answer may be a file, which leaves this page.
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 5000);
});
document.addEventListener("DOMContentLoaded", () => {
  // A form that was refused puts the reader at the list of what to mend.
  document.querySelector("[data-error-summary]")?.focus();
});
