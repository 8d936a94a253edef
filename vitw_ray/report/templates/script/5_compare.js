// Two assistants, or a period and the one before, as the reader of the page chooses them.
const MATCHED = {
  prompts: "on the same prompts",
  tasks: "with the same mix of tasks",
  nothing: "not matched",
};
const compareAddress = (kind, a, b) =>
  (kind === "models" ? "compare=" : "periods=") + encodeURIComponent(a) + "/" + encodeURIComponent(b);

const pairsOf = (kind) => data.compared.pairs.filter((pair) => pair.kind === kind);

// The pair of two names in the order asked for, its numbers turned round if the table has it so.
function findPair(kind, a, b) {
  const pair = pairsOf(kind).find((one) => (one.a === a && one.b === b) || (one.a === b && one.b === a));
  if (!pair) return null;
  if (pair.a === a) return { ...pair, rows: pair.rows, types: pair.types };
  const back = (number) => (known(number) ? -number : number);
  const turn = ([node, one, two, difference, low, high, sure, turned]) =>
    [node, two, one, back(difference), back(high), back(low), sure, back(turned)];
  return {
    ...pair, a, b,
    conversations: [...pair.conversations].reverse(),
    rows: pair.rows.map(turn),
    types: pair.types.map(turn),
  };
}

function findCompared(kind, text) {
  const [a, b] = text.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return "";
    }
  });
  return findPair(kind, a, b || "");
}

function showCompared(place, kind, chosen) {
  const pairs = pairsOf(kind);
  if (!pairs.length) return;
  const names = [...new Set(pairs.flatMap((pair) => [pair.a, pair.b]))];
  const pair = chosen || findPair(kind, pairs[0].a, pairs[0].b);
  const selects = ["A", "B"].map((side, n) => {
    const select = make("select", { id: `${kind}-${side}` }, names.map((name) => {
      const option = make("option", {}, name);
      option.value = name;
      return option;
    }));
    select.value = n ? pair.b : pair.a;
    return select;
  });
  const go = (changed) => {
    let [a, b] = selects.map((select) => select.value);
    if (!findPair(kind, a, b)) {
      const other = pairs.find((one) => one.a === (changed ? b : a) || one.b === (changed ? b : a));
      [a, b] = changed ? [other.a === b ? other.b : other.a, b] : [a, other.a === a ? other.b : other.a];
    }
    location.hash = compareAddress(kind, a, b);
  };
  selects.forEach((select, n) => select.addEventListener("change", () => go(n)));
  place.replaceChildren(
    make("h3", {}, kind === "models" ? "Compare two assistants" : "Compare a period with the one before"),
    make("p", { class: "choose" }, selects.map((select, n) => make("label", { for: select.id }, (n ? " with B " : "A "), select))),
    ...compared(pair),
  );
}

function differenceRow([node, a, b, difference, low, high, , turned]) {
  const one = nodes[node];
  const name = one ? link(one) : DASH;
  return [
    turned === null ? name : make("span", {}, name, make("br"), make("span", { class: "soft small" }, `without matching the sign turns: ${signed(100 * turned)}`)),
    percent(a), percent(b),
    signed(known(difference) ? 100 * difference : null),
    known(low) ? `${signed(100 * low)} to ${signed(100 * high)}` : DASH,
  ];
}

function compared(pair) {
  const heads = [["AI value"], ["A", true], ["B", true], ["A \u2212 B, points", true], ["95% interval", true]];
  const sure = pair.rows.filter((row) => row[6]);
  const others = pair.rows.filter((row) => !row[6]);
  const [one, two] = pair.conversations;
  return [
    make("p", {}, `A is ${pair.a}, B is ${pair.b}, `, make("b", {}, MATCHED[pair.matched]),
      `: ${count(one)} and ${count(two)} conversations. ${pair.shared} of the ten most common values are the same. `,
      `${count(pair.differing)} of ${count(pair.seen)} values differ significantly.`),
    sure.length ? table("Values that differ significantly, the surest first", heads, sure.map(differenceRow)) : note("No value differs significantly."),
    others.length ? fold("Values whose difference is not significant, the surest first", table("Not significant", heads, others.map(differenceRow))) : null,
    pair.types.length ? table("Response types, not matched", [["Response type"], ...heads.slice(1)], pair.types.map(differenceRow)) : null,
    note(`At most ${data.compared.length} values are listed here. All are in the table `, make("code", {}, "model_comparison"), "."),
  ].filter((part) => part);
}
