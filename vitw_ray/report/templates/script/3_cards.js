// The card of a node.
const COLUMN_WORDS = {
  tasks: "Tasks",
  human_values: "Human values",
  response_types: "Response types",
  ai_values: "AI values",
};
const MEMBERS = 40;

function card(node) {
  const parts = [
    make("p", { class: "kicker" }, NOUNS[node.key]),
    make("h2", { id: "card-name", tabindex: "-1" }, node.name),
    node.about ? make("p", { class: "soft" }, node.about) : null,
    trail(node),
    ownShare(node),
    ...correctedShare(node),
    ...members(node),
    ...goesWith(node),
    ...sameConversation(node),
    ...saidOrShown(node),
    ...varies(node),
    ...answers(node),
    ...ofAssistants(node),
    ...overTime(node),
    ...commonest(node),
  ];
  return parts.filter((part) => part);
}

function trail(node) {
  const steps = above(node);
  if (!steps.length) return null;
  const inside = steps.flatMap((one) => [link(one), " \u203a "]);
  return make("p", { class: "trail", "aria-label": "Path in the tree" }, ...inside, node.name);
}

function ownShare(node) {
  const [part, whole, of] =
    node.key === "a"
      ? [node.conversations, data.subjective, "subjective conversations"]
      : node.level && node.facet !== "tasks"
        ? [node.conversations, wholeOf(node), "(value, conversation) pairs"]
        : [node.conversations, node.key === "t" ? wholeOf(node) : baseOf(node), conversationsOf(node)];
  if (!whole) return make("p", {}, count(part) + " conversations");
  const [low, high] = wilson(part, whole);
  const accounts = known(node.accounts) ? `, ${count(node.accounts)} accounts` : "";
  return make(
    "div",
    { class: "own" },
    make("p", {}, make("b", { class: "big" }, percent(part / whole)),
      ` of ${of}, 95% interval ${range(low, high)} (${count(part)} of ${count(whole)}${accounts})`),
    bar(part / whole, 1, node.tone, low, high),
  );
}

const conversationsOf = (node) =>
  node.key === "t" ? "conversations with a task" : "subjective conversations";
const baseOf = (node) =>
  node.key === "r" ? (countsOf.get(-1) || [data.subjective])[0] : data.subjective;

// The share by the reader alone, and what people would have found.
function correctedShare(node) {
  const rows = correctedOf.get(node.at);
  if (!rows) return [];
  const cells = rows.map(([over, raw, share, low, high, reviewed]) => [
    over < 0 ? "All conversations" : link(nodes[over]),
    percent(raw),
    known(share) ? percent(share) : "too few to tell",
    range(low, high),
    count(reviewed),
  ]);
  const heads = [["Of"], ["Reader alone", true], ["Corrected", true], ["95% interval", true], ["Reviewed", true]];
  return [
    make("h3", {}, "Corrected for the reader\u2019s errors"),
    table("Shares of the subjective conversations, after a review by people", heads, cells),
  ];
}

function members(node) {
  if (!node.children.length) return [];
  const items = node.children.map((one) =>
    make("li", {}, link(one), " ", make("span", { class: "soft num" }, count(one.conversations))),
  );
  const rest = items.splice(MEMBERS);
  const found = [
    make("h3", {}, `Members (${count(node.children.length)})`),
    make("ul", { class: "members" }, items),
  ];
  if (rest.length) found.push(fold(`${count(rest.length)} more`, make("ul", { class: "members" }, rest)));
  found.push(
    make("p", { class: "small" }, make("a", { href: "#" + treeAddress(node) }, "Open in the tree")),
  );
  return found;
}

const PAIR_HEADS = [
  ["Goes with"], ["Observed", true], ["Expected", true], ["Odds ratio", true], ["95% interval", true],
];
const pairRow = (node) => (pair) => [
  link(pair.row === node ? pair.column : pair.row),
  count(pair.observed),
  decimal(pair.expected, 1),
  ratio(pair.odds),
  `${ratio(pair.low)} to ${ratio(pair.high)}`,
];

// Lists by facet of the other side; of a column, by level of the row.
function goesWith(node) {
  const isRow = node.facet === "ai_values";
  const kinds = isRow
    ? ["tasks", "human_values", "response_types"].map((facet) => [facet, (p) => p.column.facet === facet])
    : [["ai_values", (p) => p.row.level === 0]];
  if (!isRow) {
    const levels = new Set(node.pairs.map((pair) => pair.row.level));
    for (const level of [...levels].sort()) {
      if (level > 0) kinds.push([`level ${level}`, (p) => p.row.level === level]);
    }
  }
  if (!isRow && !["tasks", "human_values", "response_types"].includes(node.facet)) return [];
  return kinds.flatMap(([kind, among]) => pairList(node, kind, node.pairs.filter(among), isRow));
}

function pairList(node, kind, pairs, isRow) {
  const words = COLUMN_WORDS[kind] || `Clusters of AI values, ${kind}`;
  const [seen, sure] = seenOf(node, kind, isRow);
  const length = data.pairs.length;
  const by = (a, b) => b.score - a.score || (a.row.name < b.row.name ? -1 : 1);
  const more = pairs.filter((p) => p.sure && p.more).sort(by).slice(0, length);
  const less = pairs.filter((p) => p.sure && !p.more).sort(by).slice(0, length);
  const unsure = pairs.filter((p) => !p.sure).sort(by).slice(0, 5);
  const found = [make("h3", {}, isRow ? `Goes with ${words.toLowerCase()}` : `Goes with ${words}`)];
  if (more.length) found.push(table("More often than expected", PAIR_HEADS, more.map(pairRow(node))));
  if (less.length) {
    found.push(fold(`Less often than expected (${less.length})`,
      table("The surest first", PAIR_HEADS, less.map(pairRow(node)))));
  }
  if (unsure.length && !more.length) {
    const none = sure ? "No discovery above what is expected" : "No discoveries";
    found.push(table(none + "; the pairs that come nearest", PAIR_HEADS, unsure.map(pairRow(node))));
  }
  if (!sure && known(seen)) {
    found.push(note(`${pairsSeen(seen)}, none discovered. All are in the table `, make("code", {}, "associations"), "."));
  } else if (known(seen)) {
    const shown = more.length + less.length;
    found.push(note(
      `${count(shown)} of ${count(sure)} discovered pairs, by the end of the interval of the shrunken odds ratio that is nearer to 1; `,
      `${pairsSeen(seen)}. All of them are in the table `, make("code", {}, "associations"), "."));
  }
  return pairs.length || known(seen) ? found : [];
}

const pairsSeen = (number) => (number === 1 ? "1 pair seen" : `${count(number)} pairs seen`);

function seenOf(node, kind, isRow) {
  const counted = isRow ? data.pairs.seen[kind] : data.pairs.seen[node.facet];
  if (!counted || (!isRow && kind !== "ai_values")) return [null, null];
  const side = isRow ? counted.rows : counted.columns;
  const first = nodes.findIndex((one) => one.facet === node.facet);
  return [side[0][node.at - first], side[1][node.at - first]];
}

function sameConversation(node) {
  const seen = data.together.seen[node.at];
  if (!seen) return [];
  const pairs = [...node.together].sort((a, b) => b.low - a.low).slice(0, data.together.length);
  const rows = pairs.map((pair) => [
    link(pair.a === node ? pair.b : pair.a),
    count(pair.observed),
    decimal(pair.expected, 1),
    ratio(pair.observed / pair.expected),
    `${ratio(pair.low)} to ${ratio(pair.high)}`,
  ]);
  const heads = [["Value"], ["Observed", true], ["Expected", true], ["Ratio", true], ["95% interval", true]];
  return [
    make("h3", {}, "In the same conversation"),
    rows.length ? table("More often than expected, by the lower end of the interval", heads, rows) : null,
    note(`${count(rows.length)} of ${count(data.together.more[node.at])} pairs whose interval lies above 1; `,
      `${pairsSeen(seen)}. All of them are in the table `, make("code", {}, "cooccurrence"),
      ". These intervals are not corrected for the number of pairs."),
  ];
}

function saidOrShown(node) {
  const found = spokenOf.get(node.at);
  if (!found) return [];
  const [explicit, implicit, residual] = found;
  const whole = explicit + implicit;
  const [low, high] = wilson(explicit, whole);
  return [
    make("h3", {}, "Said or shown"),
    make("p", {}, `Stated outright in ${count(explicit)} of ${count(whole)} conversations: `,
      make("b", {}, percent(explicit / whole)), ` (${range(low, high)}), only shown in ${count(implicit)}. `,
      known(residual) ? `Residual against all other values ${signed(residual)}.` : ""),
    bar(explicit / whole, 1, node.tone, low, high),
  ];
}

function varies(node) {
  const rows = (variedOf.get(node.at) || []).map(([over, corrected, low, high]) => [
    plain(over), decimal(corrected), `${decimal(low)} to ${decimal(high)}`,
  ]);
  if (!rows.length) return [];
  return [
    make("h3", {}, "How much it varies"),
    table("Corrected coefficient of variation", [["Over"], ["Coefficient", true], ["95% interval", true]], rows),
  ];
}

function shareRows(parts, whole, tone) {
  const ends = parts.map(([, n]) => wilson(n, typeof whole === "number" ? whole : 0));
  const scale = Math.max(...ends.map(([, high]) => high || 0));
  return parts.map(([words, n, kind], place) => [
    words, bar(n / whole, scale, kind || tone, ...ends[place]), percent(n / whole), range(...ends[place]), count(n),
  ]);
}
const SHARE_HEADS = (words) => [[words], ["", false, true], ["Share", true], ["95% interval", true], ["Count", true]];

function answers(node) {
  const counts = countsOf.get(node.at);
  if (!counts) return [];
  const [whole, ...types] = counts;
  const shown = TYPES.map((type, n) => [type, types[n]]).filter(([, n]) => n >= 0);
  const parts = shown.map(([type, n]) => [link(byName.get("response_types " + plain(type)), plain(type)), n, type]);
  return [
    make("h3", {}, "How the assistant responds"),
    table(`Response types of ${count(whole)} conversations`, SHARE_HEADS("Response type"), shareRows(parts, whole, "")),
    types.some((n) => n < 0) ? note("A type that is missing has too few conversations to be shown.") : null,
  ];
}

function ofAssistants(node) {
  if (node.key === "a" || data.assistants.names.length < 2) return [];
  return inGroups(node, data.assistants, "Assistants", (name) => {
    const one = byName.get("models " + name);
    return one ? link(one) : name;
  });
}

function overTime(node) {
  return inGroups(node, data.periods, "Over time", (name) => name);
}

function inGroups(node, groups, title, named) {
  const found = groups.of_node.get(node.at);
  if (!groups.names.length) return [];
  if (!found) {
    return [make("h3", {}, title), note("Too few conversations to show here; what there is stands in the table ",
      make("code", {}, "model_comparison"), ".")];
  }
  const rows = found.map(([group, n]) => {
    const whole = groups.conversations[group];
    return { name: groups.names[group], n, whole, ends: wilson(n, whole) };
  });
  const scale = Math.max(...rows.map((row) => row.ends[1] || 0));
  const cells = rows.map((row) => [
    named(row.name), bar(row.n / row.whole, scale, node.tone, ...row.ends), percent(row.n / row.whole),
    range(...row.ends), `${count(row.n)} of ${count(row.whole)}`,
  ]);
  const missing = groups.names.length - found.length;
  return [
    make("h3", {}, title),
    table("Share of the subjective conversations, not matched", SHARE_HEADS(title === "Assistants" ? "Assistant" : "Period"), cells),
    missing ? note(`${count(missing)} more have too few conversations of it to be shown here.`) : null,
  ];
}

// Of an assistant: its most common values, and whom it can be compared with.
function commonest(node) {
  if (node.key !== "a") return [];
  const place = data.assistants.names.indexOf(node.name);
  const whole = data.assistants.conversations[place];
  const parts = (data.assistants.of_group[place] || [])
    .filter(([one]) => one.key === "v").sort((a, b) => b[1] - a[1]).slice(0, 25)
    .map(([one, n]) => [link(one), n]);
  const others = data.compared.pairs.filter((pair) => pair.kind === "models" && [pair.a, pair.b].includes(node.name));
  const found = [];
  if (parts.length) {
    found.push(make("h3", {}, "Most common AI values"),
      table(`Share of ${count(whole)} subjective conversations`, SHARE_HEADS("AI value"), shareRows(parts, whole, "ai")));
  }
  if (others.length) {
    found.push(make("h3", {}, "Compare with"), make("ul", { class: "members" }, others.map((pair) => {
      const other = pair.a === node.name ? pair.b : pair.a;
      return make("li", {}, make("a", { href: "#" + compareAddress("models", node.name, other) }, other));
    })));
  }
  return found;
}
