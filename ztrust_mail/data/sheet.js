
"use strict";
const said = document.getElementById("said");
let forget = 0;

function say(text) {
  clearTimeout(forget);
  said.textContent = text;
  forget = setTimeout(() => { said.textContent = ""; }, 5000);
}

// Selects the value, so that where no script may copy a person still can.
function copySelected(value) {
  const range = document.createRange();
  range.selectNodeContents(value);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  const copied = document.execCommand("copy");
  if (copied) selection.removeAllRanges();
  return copied;
}

async function copy(button) {
  const value = button.closest("tr").querySelector("code");
  const name = button.getAttribute("aria-label").replace("Copy ", "");
  let copied = true;
  try {
    await navigator.clipboard.writeText(value.textContent);
  } catch {
    copied = copySelected(value);
  }
  say(copied ? `Copied ${name}` : `${name} is selected: press Ctrl+C to copy it`);
}

document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) copy(button);
});
document.documentElement.classList.add("scripted");
