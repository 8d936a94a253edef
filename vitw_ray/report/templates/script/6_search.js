// Search over all nodes: names that begin with the words, then words that do, then the rest.
const FOUND = 30;

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();

function search(text) {
  const asked = folded(text);
  if (!asked) return [];
  const words = asked.split(/\s+/);
  const found = [];
  for (const node of nodes) {
    const at = node.lower.indexOf(words[0]);
    if (at < 0 || !words.every((word) => node.lower.includes(word))) continue;
    const whole = node.lower === asked ? 0 : node.lower.startsWith(asked) ? 1 : at === 0 || node.lower[at - 1] === " " ? 2 : 3;
    found.push([whole, node]);
  }
  found.sort(([a, one], [b, two]) => a - b || two.conversations - one.conversations || one.at - two.at);
  return found.map(([, node]) => node);
}

function addSearch(place) {
  const input = make("input", {
    type: "search", id: "search", role: "combobox", "aria-expanded": "false", "aria-controls": "found",
    "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false", placeholder: "Search (/)",
    "aria-label": "Search values, clusters, tasks and assistants",
  });
  const list = make("ul", { id: "found", role: "listbox", "aria-label": "Found", hidden: "" });
  const said = make("p", { class: "hidden", role: "status" });
  let shown = [];
  let at = -1;

  const point = (place) => {
    at = place;
    [...list.children].forEach((item, n) => item.setAttribute("aria-selected", String(n === at)));
    const item = list.children[at];
    if (item) {
      input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };
  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
  };
  const open = (node) => {
    close();
    input.value = "";
    if (location.hash === "#" + encodeURI(node.address)) route();
    else location.hash = node.address;
  };
  const refresh = () => {
    const all = search(input.value);
    shown = all.slice(0, FOUND);
    list.replaceChildren(...shown.map((node, n) => {
      const item = make("li", { id: "found-" + n, role: "option", "aria-selected": "false" },
        make("span", { class: "name" }, node.name),
        make("span", { class: "soft small" }, [NOUNS[node.key], ...path(node)].join(" \u203a ")),
        make("span", { class: "num soft small" }, count(node.conversations)));
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        open(node);
      });
      return item;
    }));
    const none = input.value.trim() && !shown.length;
    if (none) list.append(make("li", { class: "none soft", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "Nothing has this name."));
    list.hidden = !shown.length && !none;
    input.setAttribute("aria-expanded", String(!list.hidden));
    said.textContent = input.value.trim() ? `${count(all.length)} found` : "";
    point(shown.length ? 0 : -1);
  };
  input.addEventListener("input", refresh);
  input.addEventListener("focus", () => { if (input.value) refresh(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && shown.length) point((at + 1) % shown.length);
    else if (event.key === "ArrowUp" && shown.length) point((at - 1 + shown.length) % shown.length);
    else if (event.key === "Enter" && shown[at] && !list.hidden) open(shown[at]);
    else if (event.key === "Escape") {
      input.value = "";
      close();
      input.blur();
    } else return;
    event.preventDefault();
  });
  place.append(make("div", { class: "search" }, input, list, said));
  return input;
}
