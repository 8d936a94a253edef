// Each table as a CSV file: the whole of it where the page holds it.
const risky = /^[=+\-@\t\r\n]/;

// A text that a spreadsheet would take for a formula is led by an apostrophe.
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = risky.test(value) ? "'" + value : value;
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function csv(columns) {
  const rows = columns[0][2].length;
  const lines = [columns.map(([title]) => cell(title)).join(",")];
  for (let n = 0; n < rows; n++) {
    lines.push(columns.map(([, words, entries]) =>
      cell(words ? (entries[n] < 0 ? null : words[entries[n]]) : entries[n])).join(","));
  }
  return lines.join("\n") + "\n";
}

function download(name, columns) {
  const address = URL.createObjectURL(new Blob([csv(columns)], { type: "text/csv" }));
  make("a", { href: address, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function addDownloads() {
  for (const place of document.querySelectorAll("[data-table]")) {
    const name = place.dataset.table;
    if (!Object.hasOwn(data.sheets, name)) continue;
    const button = make("button", { type: "button" }, `${name}.csv`);
    button.addEventListener("click", () => download(name, data.sheets[name]));
    place.replaceChildren(button);
  }
}
