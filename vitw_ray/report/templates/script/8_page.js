// Addresses, links on names, and the sheet that shows a card.
const sheet = make("dialog", { id: "card", "aria-labelledby": "card-name" });
const trees = make("div", { id: "tree-view" });
const views = { models: make("div", { id: "compare-view" }), periods: make("div", { id: "periods-view" }) };

function openCard(...inside) {
  const close = make("button", { type: "button", class: "close", "aria-label": "Close the card" }, "\u00d7");
  close.addEventListener("click", () => sheet.close());
  sheet.replaceChildren(close, make("div", { class: "inside" }, inside));
  if (!sheet.open) sheet.showModal();
  sheet.scrollTop = 0;
  document.getElementById("card-name").focus();
}

sheet.addEventListener("close", () => {
  const [key] = location.hash.slice(1).split("=");
  if (Object.hasOwn(NOUNS, key)) history.pushState(null, "", "#");
});
sheet.addEventListener("click", (event) => {
  if (event.target === sheet) sheet.close();
});

function closeCard() {
  if (sheet.open) sheet.close();
}

function address() {
  const raw = location.hash.slice(1);
  const at = raw.indexOf("=");
  if (at < 0) return [raw, null];
  let text = raw.slice(at + 1);
  if (!["compare", "periods"].includes(raw.slice(0, at))) {
    try {
      text = decodeURIComponent(text);
    } catch {
      text = "";
    }
  }
  return [raw.slice(0, at), text];
}

function route() {
  const [key, text] = address();
  if (text !== null && Object.hasOwn(NOUNS, key)) {
    const node = byAddress.get(key + "=" + text.normalize("NFC").toLowerCase());
    if (node) openCard(card(node));
    else openCard(make("h2", { id: "card-name", tabindex: "-1" }, "Not on this page"),
      make("p", {}, `No ${NOUNS[key]} has this address. It may have too few conversations to be shown. Press / to search.`));
    return;
  }
  closeCard();
  if (text === null) return;
  if (key === "tree") {
    const found = findBranch(text) || { facet: "ai_values", node: null };
    showTree(trees, found);
    reveal(trees);
    const first = trees.querySelector(".branches a");
    if (first) first.focus({ preventScroll: true });
  }
  const kind = { compare: "models", periods: "periods" }[key];
  if (kind && pairsOf(kind).length) {
    showCompared(views[kind], kind, findCompared(kind, text));
    reveal(views[kind]);
  }
}

function reveal(element) {
  for (let one = element; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  element.scrollIntoView({ block: "start" });
}

// Names in the static page become links to their cards.
function linkNames(root) {
  for (const place of root.querySelectorAll("[data-n]")) linkName(place, place.dataset.n);
  for (const place of root.querySelectorAll("[data-at]")) {
    const node = nodes[Number(place.dataset.at)];
    const about = place.parentElement.nextElementSibling;
    if (about && about.tagName === "P") node.about = about.textContent;
    linkPlace(place, node);
  }
  for (const tree of root.querySelectorAll("[data-facet]")) {
    for (const item of tree.querySelectorAll(".leaves li")) {
      const words = item.firstChild;
      const node = byName.get(`${tree.dataset.facet} 0 ${words.data.trim()}`);
      if (node) words.replaceWith(link(node), " ");
    }
  }
  for (const side of root.querySelectorAll(".heat [data-f], .icicle [data-f]")) linkShape(side);
}

function linkName(place, kind) {
  const node = byName.get(kind + " " + place.textContent);
  if (node) linkPlace(place, node);
}

function linkPlace(place, node) {
  const summary = place.closest("summary"); // holds no link: it is a control itself
  if (summary) summary.after(make("p", { class: "small" }, link(node, "Card of " + node.name)));
  else place.replaceChildren(link(node));
}

// A shape of a figure, whose full name is its title; that of a slab ends with its share.
function linkShape(shape) {
  const title = shape.querySelector("title").textContent;
  const slab = shape.closest(".icicle");
  const node = byName.get(shape.dataset.f + " " + (slab ? title.replace(/ \S+$/, "") : title));
  if (!node) return;
  const open = slab ? treeAddress(node) : node.address;
  const wrap = draw("a", { href: "#" + open, "aria-label": node.name });
  shape.closest("svg[role]").setAttribute("role", "group");
  shape.replaceWith(wrap);
  wrap.append(shape);
}

function addViews() {
  const taxonomy = document.querySelector("#taxonomy h2");
  if (topOf("ai_values").length) {
    const before = document.querySelector("#taxonomy .facet") || taxonomy.nextElementSibling;
    before.before(make("h3", {}, "Walk through the tree"), trees);
    showTree(trees, { facet: "ai_values", node: null });
  }
  for (const kind of ["models", "periods"]) {
    if (!pairsOf(kind).length) continue;
    document.querySelector("#models h2").after(views[kind]);
    showCompared(views[kind], kind, null);
  }
}

readNodes();
readPairs();
readGroups();
document.body.append(sheet);
const searchBox = addSearch(document.querySelector("nav"));
document.documentElement.classList.add("scripted");
addViews();
linkNames(document);
addDownloads();
onSlash(() => {
  closeCard();
  searchBox.focus();
  searchBox.select();
});
openFoldsInPrint();
addEventListener("hashchange", route);
route();
