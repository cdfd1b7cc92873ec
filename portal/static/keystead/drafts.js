// What was typed into a long form stays in this tab until an answer took it: where a session ended meanwhile, the form has it again
// after signing in. It is given back only to whom it belongs, and what may be a secret is not kept.
document.addEventListener("DOMContentLoaded", () => {
  const NAME = "keystead-draft";
  const SKIPPED = new Set(["hidden", "password", "submit", "file"]);
  const fieldsOf = (form) => [...form.elements].filter((each) => each.name && !SKIPPED.has(each.type) && !("neverKept" in each.dataset));
  const isTicked = (field) => field.type === "checkbox" || field.type === "radio";
  const here = location.pathname + location.search;

  const restore = (form, kept) => {
    for (const field of fieldsOf(form)) {
      const values = kept.filter(([name]) => name === field.name).map(([, value]) => value);
      if (isTicked(field)) field.checked = values.includes(field.value);
      else if (values.length) field.value = values[0];
    }
    const told = form.querySelector("[data-draft-told]");
    told.hidden = false;
    told.scrollIntoView({ block: "center" }); // the form may stand far below what it is about
  };

  const form = document.querySelector("form[data-draft]");
  const draft = JSON.parse(sessionStorage.getItem(NAME) || "null");
  // Pages of signing in have no account, and pages of refusals are no place where anything was taken.
  const mayBeNeeded = !document.querySelector("[data-account]") || document.querySelector("[data-refusal]");
  if (!mayBeNeeded) sessionStorage.removeItem(NAME);
  if (form && draft && draft.of === form.dataset.draft && draft.at === here && !document.querySelector("[data-error-summary]")) {
    restore(form, draft.kept);
  }
  form?.addEventListener("submit", () => {
    const kept = fieldsOf(form).filter((field) => !isTicked(field) || field.checked).map((field) => [field.name, field.value]);
    sessionStorage.setItem(NAME, JSON.stringify({ of: form.dataset.draft, at: here, kept }));
  });
});
