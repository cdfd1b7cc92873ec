/* Let a browser make or use a passkey for a form: ask the server for options, ask the person, send the form.

   A block with data-passkey ("get" or "create") and data-passkey-url stands inside a form. The answer of that address is
   {publicKey: options, fields: {name: value}}; what the passkey says goes into the field named by data-passkey-field. */
(function () {
  "use strict";

  function bytes(text) {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (each) => each.charCodeAt(0));
  }

  function text(buffer) {
    const plain = String.fromCharCode(...new Uint8Array(buffer));
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function options(json) {
    const parsed = { ...json, challenge: bytes(json.challenge) };
    const named = (each) => ({ ...each, id: bytes(each.id) });
    if (json.user) parsed.user = named(json.user);
    if (json.allowCredentials) parsed.allowCredentials = json.allowCredentials.map(named);
    if (json.excludeCredentials) parsed.excludeCredentials = json.excludeCredentials.map(named);
    return parsed;
  }

  function answer(credential) {
    const said = credential.response;
    const response = { clientDataJSON: text(said.clientDataJSON) };
    if (said.attestationObject) {
      response.attestationObject = text(said.attestationObject);
      response.transports = said.getTransports ? said.getTransports() : [];
    } else {
      response.authenticatorData = text(said.authenticatorData);
      response.signature = text(said.signature);
    }
    const results = credential.getClientExtensionResults();
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response,
      clientExtensionResults: results.credProps ? { credProps: { rk: results.credProps.rk === true } } : {},
    };
  }

  async function ask(block, form) {
    const asked = await fetch(block.dataset.passkeyUrl, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value, Accept: "application/json" },
      credentials: "same-origin",
    });
    if (asked.redirected) return; // the session has ended: the form itself, unsigned, is led to signing in and back
    if (!asked.ok) {
      // A form that cannot be signed as it stands says why, where a page does.
      const said = await asked.json().catch(() => ({}));
      throw Object.assign(new Error("options"), { words: said.words });
    }
    const offer = await asked.json();
    const ceremony = { publicKey: options(offer.publicKey) };
    const credential = await navigator.credentials[block.dataset.passkey](ceremony);
    for (const [name, value] of Object.entries(offer.fields || {})) {
      if (form.elements[name]) form.elements[name].value = value;
    }
    form.elements[block.dataset.passkeyField].value = JSON.stringify(answer(credential));
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey-start]");
    const block = button && button.closest("[data-passkey]");
    const form = block && block.closest("form");
    if (!form) return;
    const told = block.querySelector("[data-passkey-told]");
    button.disabled = true;
    told.textContent = "";
    try {
      await ask(block, form);
      form.noValidate = true;
      form.requestSubmit();
    } catch (error) {
      told.textContent = error.words || told.dataset[error.name === "NotAllowedError" ? "cancelled" : "failed"];
      button.disabled = false;
      button.focus();
    }
  });

  if (!window.PublicKeyCredential) {
    for (const block of document.querySelectorAll("[data-passkey]")) block.hidden = true;
  }
})();
