// Forms that a passkey answers: what the server asks for is fetched when the form is sent, the browser
// and its user answer, and the form goes on its way with that.
(() => {
  "use strict";

  const known = window.PublicKeyCredential
    && PublicKeyCredential.parseCreationOptionsFromJSON && PublicKeyCredential.parseRequestOptionsFromJSON;

  const say = (form, text) => {
    const box = form.querySelector("[role=alert]");
    box.textContent = text;
    box.hidden = text === "";
  };

  // ask answers the options as the server sent them, or throws what it said instead.
  const ask = async (form) => {
    const creating = form.elements.password !== undefined;
    const res = await fetch(form.dataset.passkey, { method: "POST", body: creating ? new URLSearchParams(new FormData(form)) : null });
    if (res.redirected) {
      location.assign(res.url);
      return null;
    }
    const answer = await res.json();
    if (!res.ok) throw new Error(answer.hint ? answer.text + ". What to do: " + answer.hint : answer.text);
    return creating
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(answer) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(answer) });
  };

  const words = {
    NotAllowedError: "It was given up, or took too long. Nothing was changed.",
    InvalidStateError: "This device has a passkey of yours already.",
    SecurityError: "The browser makes and uses no passkeys at this address, or does not trust the server's certificate.",
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const here = location.origin === form.dataset.origin;
    form.hidden = !known || !here;
    const note = document.querySelector(here ? "[data-passkey-unknown]" : "[data-passkey-elsewhere]");
    if (note) note.hidden = !form.hidden;
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      const button = form.querySelector("button");
      say(form, "");
      button.disabled = true;
      try {
        const made = await ask(form);
        if (!made) return;
        form.elements.response.value = JSON.stringify(made.toJSON());
        for (const name of ["password", "code"]) if (form.elements[name]) form.elements[name].value = "";
        form.submit();
      } catch (err) {
        say(form, words[err.name] || err.message);
      } finally {
        button.disabled = false;
      }
    });
  }
})();
