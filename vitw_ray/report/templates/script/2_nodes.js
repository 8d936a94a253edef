// The nodes of the tables, their addresses and their pairs.
const data = JSON.parse(document.getElementById("data").textContent);
const nodes = [];
const byAddress = new Map();
const byName = new Map();

const KEYS = {
  ai_values: ["v", "cluster"],
  human_values: ["h", "human-cluster"],
  tasks: ["t", "t"],
  response_types: ["r", "r"],
  models: ["a", "a"],
};
const NOUNS = {
  v: "AI value",
  cluster: "cluster of AI values",
  h: "human value",
  "human-cluster": "cluster of human values",
  t: "task",
  r: "response type",
  a: "assistant",
};
const TONES = { ai_values: "ai", human_values: "human", tasks: "human", models: "ai" };
const TYPES = [
  "strong_support",
  "mild_support",
  "neutral_acknowledgment",
  "reframing",
  "mild_resistance",
  "strong_resistance",
  "no_values",
];

const slug = (name) =>
  name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "") || "unnamed";

// A short hash of a text (FNV-1a), so that an address does not depend on other names.
function hashed(text) {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193) >>> 0;
  return hash.toString(36);
}

function summed(steps) {
  let sum = 0;
  return steps.map((step) => (sum += step));
}

function readNodes() {
  const columns = data.nodes;
  for (const [facet, level, size] of columns.groups) {
    for (let n = 0; n < size; n++) {
      const at = nodes.length;
      const key = KEYS[facet][level > 0 ? 1 : 0];
      const name = facet === "response_types" ? plain(columns.names[at]) : columns.names[at];
      nodes.push({
        at, facet, level, key, name,
        lower: name.toLowerCase(),
        parent: columns.parents[at],
        conversations: columns.conversations[at],
        accounts: columns.accounts ? columns.accounts[at] : null,
        about: "",
        tone: facet === "response_types" ? columns.names[at] : TONES[facet],
        children: [],
        pairs: [],
        together: [],
      });
    }
  }
  for (const node of nodes) if (node.parent >= 0) nodes[node.parent].children.push(node);
  const taken = new Map();
  for (const node of nodes) {
    const plainAddress = node.key + "=" + slug(node.name);
    taken.set(plainAddress, (taken.get(plainAddress) || 0) + 1);
  }
  for (const node of nodes) {
    let address = node.key + "=" + slug(node.name);
    if (taken.get(address) > 1) address += "-" + (node.level ? "level-" + node.level : "label");
    if (byAddress.has(address)) address += "-" + hashed(node.name + path(node).join());
    while (byAddress.has(address)) address += "-2";
    node.address = address;
    byAddress.set(address, node);
  }
  for (let at = nodes.length - 1; at >= 0; at--) {
    const node = nodes[at];
    byName.set(node.facet + " " + node.level + " " + node.name, node);
    const any = node.facet + " " + node.name;
    if (!byName.has(any) || byName.get(any).level >= node.level) byName.set(any, node);
  }
}

// Names from the top of the tree down to the parent.
function path(node) {
  return above(node).map((one) => one.name);
}

function above(node) {
  const found = [];
  for (let one = nodes[node.parent]; one; one = nodes[one.parent]) found.unshift(one);
  return found;
}

function readPairs() {
  const pairs = data.pairs;
  summed(pairs.row).forEach((row, n) => {
    const pair = {
      row: nodes[row],
      column: nodes[pairs.column[n]],
      observed: pairs.observed[n],
      expected: pairs.expected[n],
      odds: pairs.odds_ratio[n],
      low: pairs.low[n],
      high: pairs.high[n],
      score: pairs.score[n],
      sure: pairs.discovered[n] !== "0",
      more: pairs.discovered[n] !== "-",
    };
    pair.row.pairs.push(pair);
    pair.column.pairs.push(pair);
  });
  const both = data.together;
  summed(both.a).forEach((a, n) => {
    const pair = { a: nodes[a], b: nodes[both.b[n]], observed: both.observed[n] };
    pair.expected = (pair.a.conversations * pair.b.conversations) / data.subjective;
    const ends = wilson(pair.observed, data.subjective);
    [pair.low, pair.high] = ends.map((end) => (end * data.subjective) / pair.expected);
    pair.a.together.push(pair);
    pair.b.together.push(pair);
  });
}

const countsOf = new Map(); // place of a node, or -1 to -3 -> [conversations, one per type]
const variedOf = new Map(); // place of a node -> [facet, corrected, low, high]
const spokenOf = new Map();
const correctedOf = new Map(); // place of a node -> rows, all assistants together first

function readGroups() {
  for (const [place, ...counts] of data.answered) countsOf.set(place, counts);
  for (const [place, ...row] of data.corrected) {
    if (!correctedOf.has(place)) correctedOf.set(place, []);
    correctedOf.get(place).push(row);
  }
  for (const [over, [places, ...columns]] of Object.entries(data.varied)) {
    summed(places).forEach((place, n) => {
      if (!variedOf.has(place)) variedOf.set(place, []);
      variedOf.get(place).push([over, ...columns.map((column) => column[n] / 100)]);
    });
  }
  const [places, ...columns] = data.spoken;
  summed(places).forEach((place, n) => spokenOf.set(place, columns.map((column) => column[n])));
  for (const groups of [data.assistants, data.periods]) {
    groups.of_node = new Map();
    groups.of_group = groups.names.map(() => []);
    summed(groups.group).forEach((group, n) => {
      const place = groups.node[n];
      if (!groups.of_node.has(place)) groups.of_node.set(place, []);
      groups.of_node.get(place).push([group, groups.count[n]]);
      groups.of_group[group].push([nodes[place], groups.count[n]]);
    });
  }
}

function link(node, words) {
  return make("a", { href: "#" + node.address }, words || node.name);
}

// All (value, conversation) pairs, or conversations, that a tree holds.
function wholeOf(node) {
  const top = nodes.filter((one) => one.facet === node.facet && one.level && one.parent < 0);
  return top.reduce((sum, one) => sum + one.conversations, 0);
}
