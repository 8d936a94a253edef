// The trees, one node at a time: its path, its members, and the members of these.
const FACET_OF = { "ai-values": "ai_values", "human-values": "human_values", tasks: "tasks" };
const FACET_WORDS = { ai_values: "AI values", human_values: "Human values", tasks: "Tasks" };
const INNER = 6;

const facetSlug = (facet) => facet.replace("_", "-");
const treeAddress = (node) =>
  "tree=" + facetSlug(node.facet) + "/" + node.address.slice(node.address.indexOf("=") + 1);

function findBranch(text) {
  const [facetWord, name] = text.split("/");
  const facet = FACET_OF[facetWord];
  if (!facet) return null;
  const [label, cluster] = KEYS[facet];
  const node = name ? byAddress.get(cluster + "=" + name) || byAddress.get(label + "=" + name) : null;
  return name && !node ? null : { facet, node };
}

function topOf(facet) {
  const first = nodes.filter((node) => node.facet === facet && node.parent < 0);
  const clusters = first.filter((node) => node.level);
  return clusters.length ? clusters : first;
}

function showTree(place, { facet, node }) {
  const below = node ? node.children : topOf(facet);
  const whole = node ? node.conversations : below.reduce((sum, one) => sum + one.conversations, 0);
  const most = Math.max(...below.map((one) => one.conversations), 1);
  const crumbs = make("p", { class: "trail", "aria-label": "Path in the tree" });
  const steps = node ? [...above(node), node] : [];
  crumbs.append(make("a", { href: "#tree=" + facetSlug(facet) }, FACET_WORDS[facet]));
  for (const step of steps) crumbs.append(" \u203a ", make("a", { href: "#" + treeAddress(step) }, step.name));
  const rows = below.map((one) => branch(one, most, whole));
  const list = make("ul", { class: "branches", "aria-label": node ? "Members of " + node.name : FACET_WORDS[facet] }, rows);
  list.addEventListener("keydown", (event) => walk(event, list, node));
  place.replaceChildren(
    make("div", { class: "choices", role: "group", "aria-label": "Tree" }, Object.entries(FACET_OF).map(([word, one]) =>
      topOf(one).length ? make("a", { href: "#tree=" + word, "aria-current": one === facet ? "true" : null }, FACET_WORDS[one]) : null)),
    crumbs,
    node ? make("p", { class: "small" }, link(node, "Card of " + node.name), node.about ? make("span", { class: "soft" }, " " + node.about) : null) : "",
    list,
    note("Arrow keys move; right or Enter opens, left goes up."),
  );
}

function branch(one, most, whole) {
  const open = one.children.length > 0;
  const name = make("a", { href: "#" + (open ? treeAddress(one) : one.address), class: "name" }, one.name);
  const inner = one.children.slice(0, INNER);
  const width = (n) => `${((100 * n) / most).toFixed(1)}%`;
  const slabs = draw("svg", { class: "bar", width: "100%", height: "10", "aria-hidden": "true" },
    draw("rect", { class: "track", width: "100%", height: "8", y: "1", rx: "3" }),
    draw("rect", { class: "fill " + one.tone, width: width(one.conversations), height: "8", y: "1", rx: "3" }));
  return make("li", {},
    name,
    make("span", { class: "num" }, percent(whole ? one.conversations / whole : null)),
    make("span", { class: "num soft" }, count(one.conversations)),
    slabs,
    open ? make("span", { class: "inner small" }, inner.flatMap((child, n) => [n ? " \u00b7 " : "",
      make("a", { href: "#" + (child.children.length ? treeAddress(child) : child.address) }, child.name)]),
      one.children.length > INNER ? make("span", { class: "soft" }, ` and ${count(one.children.length - INNER)} more`) : null) : null,
  );
}

function walk(event, list, node) {
  const names = [...list.querySelectorAll("a.name")];
  const at = names.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: names.length - 1 }[event.key];
  if (next !== undefined && names[next]) {
    names[next].focus();
  } else if (event.key === "ArrowRight" && at >= 0) {
    location.hash = names[at].hash;
  } else if (event.key === "ArrowLeft" && node) {
    const parent = nodes[node.parent];
    location.hash = parent ? treeAddress(parent) : "tree=" + facetSlug(node.facet);
  } else {
    return;
  }
  event.preventDefault();
}
