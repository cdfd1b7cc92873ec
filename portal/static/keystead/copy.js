// Copy the text of the element that a button names, also while that element is folded away.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const label = button.querySelector("[data-copy-label]");
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.dataset.copied = "yes";
    label.textContent = button.dataset.copyDone;
  } catch {
    // The clipboard may be denied or the page not secure: show the text and select it instead.
    source.closest("details")?.setAttribute("open", "");
    window.getSelection().selectAllChildren(source);
    label.textContent = button.dataset.copyFailed;
  }
  setTimeout(() => {
    delete button.dataset.copied;
    label.textContent = before;
  }, 4000);
});
