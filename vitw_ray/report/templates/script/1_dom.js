// Elements and words. Text of the tables only ever becomes a text node or a known attribute.
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...inside.flat(Infinity).filter((part) => part !== null && part !== undefined));
  return element;
}

function draw(tag, attributes, ...inside) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

const DASH = "\u2013";
const MINUS = "\u2212";
const known = (number) => number !== null && number !== undefined && !Number.isNaN(number);
const grouped = (number, digits) =>
  number.toLocaleString("en-US", {
    minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative",
  });
const count = (number) => (known(number) ? grouped(number, 0) : DASH);

function percent(share) {
  if (!known(share)) return DASH;
  return share > 0 && share < 0.0005 ? "<0.1%" : (100 * share).toFixed(1) + "%";
}

function decimal(number, digits = 2) {
  return known(number) ? grouped(number, digits).replace("-", MINUS) : DASH;
}

function signed(number, digits = 1) {
  const text = decimal(number, digits);
  return known(number) && Number(number.toFixed(digits)) > 0 ? "+" + text : text;
}

const ratio = (number) =>
  known(number) ? decimal(number, number < 10 ? 2 : number < 100 ? 1 : 0) : DASH;

function range(low, high) {
  if (!known(low) || !known(high)) return DASH;
  const digits = high >= 0.01 ? 1 : 2;
  return (100 * low).toFixed(digits) + DASH + (100 * high).toFixed(digits) + "%";
}

const plain = (code) => code.replaceAll("_", " ");

// The score interval of a share (Wilson), as the tables have it.
function wilson(part, whole) {
  if (!whole) return [null, null];
  const z = 1.959963984540054;
  const p = part / whole;
  const wide = 1 + (z * z) / whole;
  const middle = (p + (z * z) / (2 * whole)) / wide;
  const half = (z * Math.sqrt((p * (1 - p)) / whole + (z * z) / (4 * whole * whole))) / wide;
  return [p === 0 ? 0 : middle - half, p === 1 ? 1 : middle + half];
}

// One bar with its interval, as `figures.bar` draws it.
function bar(share, scale, tone, low, high) {
  const x = (value) => (scale > 0 ? Math.min(100, Math.max(0, (100 * value) / scale)) : 0) + "%";
  const line = (x1, x2, y1, y2) => draw("line", { x1: x(x1), x2: x(x2), y1, y2 });
  const label = `${percent(share)}, from ${percent(low)} to ${percent(high)}`;
  return draw(
    "svg",
    { class: "bar", role: "img", "aria-label": label },
    draw("rect", { class: "track" }),
    draw("rect", { class: "fill " + tone, width: x(share) }),
    draw(
      "g",
      { class: "whisker" },
      line(low, high, 12, 12),
      line(low, low, 10, 14),
      line(high, high, 10, 14),
    ),
  );
}

// A table in a scroller; `heads` are [words, is a number].
function table(caption, heads, rows) {
  const head = heads.map(([words, number]) =>
    make("th", { scope: "col", class: number ? "num" : null }, words || make("span", { class: "hidden" }, "Bar")),
  );
  const body = rows.map((cells) =>
    make(
      "tr",
      {},
      cells.map((cell, place) => {
        const [, number, wide] = heads[place];
        const kind = number ? "num" : wide ? "wide" : null;
        return place
          ? make("td", { class: kind }, cell)
          : make("th", { scope: "row" }, cell);
      }),
    ),
  );
  return make(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    make(
      "table",
      { class: "listed" },
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, head)),
      make("tbody", {}, body),
    ),
  );
}

const note = (...words) => make("p", { class: "soft small" }, ...words);
const fold = (words, ...inside) =>
  make("details", { class: "fold" }, make("summary", {}, words), ...inside);

// The key / goes to the search, wherever nothing is typed.
function onSlash(go) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, select, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go();
  });
}

function openFoldsInPrint() {
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
}
