// Rows of two runs by name, and all of them as one CSV file.
const data = JSON.parse(document.getElementById("data").textContent);
const FOUND = 60;
const HEADS = [["Name"], ["Kind"], ["A", true], ["B", true], ["A \u2212 B, points", true], ["95% interval", true]];

function foundRow([kind, name, other, a, b, n, m, difference, low, high, , sure]) {
  return [
    other ? make("span", {}, name, make("br"), make("span", { class: "soft small" }, "in B: " + other)) : name,
    data.kinds[kind],
    percent(a / n),
    percent(b / m),
    make("span", {}, signed(100 * difference), make("span", { class: "soft small" }, sure ? "" : " not significant")),
    `${signed(100 * low)} to ${signed(100 * high)}`,
  ];
}

function aloneRow([kind, side, name, n]) {
  return [name, data.kinds[kind], ...[0, 1].map((one) => (one === side ? count(n) : DASH)), DASH, "only in " + "AB"[side]];
}

const lowered = [data.rows, data.alone].map((rows, kind) =>
  rows.map((row) => [kind ? row[2] : row[1] + " " + (row[2] || "")].join().toLowerCase()));

function refresh(box, place) {
  const words = box.value.toLowerCase().trim().split(/\s+/).filter(Boolean);
  if (!words.length) return place.replaceChildren();
  const found = [data.rows, data.alone].map((rows, kind) =>
    rows.filter((row, n) => words.every((word) => lowered[kind][n].includes(word))));
  const all = [...found[0].map(foundRow), ...found[1].map(aloneRow)];
  const some = all.slice(0, FOUND);
  place.replaceChildren(
    some.length ? table(`${count(all.length)} found`, HEADS, some) : note("Nothing has this name."),
  );
}

function columns() {
  const kinds = [data.kinds, data.rows.map((row) => row[0])];
  const texts = (at) => {
    const words = [...new Set(data.rows.map((row) => row[at]).filter((word) => word !== null))];
    const code = new Map(words.map((word, n) => [word, n]));
    return [words, data.rows.map((row) => (row[at] === null ? -1 : code.get(row[at])))];
  };
  const titles = ["count_a", "count_b", "of_a", "of_b", "difference", "low", "high", "p_adjusted", "significant"];
  return [
    ["kind", ...kinds], ["name", ...texts(1)], ["name_in_b", ...texts(2)],
    ...titles.map((title, n) => [title, null, data.rows.map((row) => row[n + 3])]),
  ];
}

const place = make("div", { role: "status" });
const box = make("input", {
  type: "search", id: "find", autocomplete: "off", spellcheck: "false",
  placeholder: "Find a value, cluster or task (/)", "aria-label": "Find a value, cluster or task",
});
box.addEventListener("input", () => refresh(box, place));
const button = make("button", { type: "button" }, "differences.csv");
button.addEventListener("click", () => download("differences", columns()));
document.getElementById("matches").append(make("p", { class: "choose" }, box, button), place);
document.documentElement.classList.add("scripted");
onSlash(() => {
  box.scrollIntoView({ block: "center" });
  box.focus();
  box.select();
});
openFoldsInPrint();
