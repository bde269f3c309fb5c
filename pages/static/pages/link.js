// Logs in by the secret that stands behind the `#` of the address, where no server sees it.

const secret = location.hash.slice(1);
history.replaceState(null, "", location.pathname); // it is in no history, and in no screenshot

if (secret) {
  const form = document.getElementById("link");
  form.elements.secret.value = secret;
  form.submit();
} else {
  document.getElementById("waiting").hidden = true;
  document.getElementById("none").hidden = false;
}
