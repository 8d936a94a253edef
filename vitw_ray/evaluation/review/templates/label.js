"use strict";
// Conversation text is untrusted: it reaches the page through textContent alone.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = new Map(data.conversations.map((one) => [one.id, one]));
  const valueKeys = { v: data.valueFacets[0].field, b: data.valueFacets[1].field };
  const labelForm = new RegExp(data.label);
  const responseByKey = new Map(data.responseTypes.map((type) => [type.key, type.code]));
  const responseCodes = new Set(responseByKey.values());
  const SHOWN_OPTIONS = 8;
  const get = (id) => document.getElementById(id);

  let share = 1;
  let labeller = "";
  let place = 0;
  let shown = []; // the conversations of this share
  let records = {}; // id -> what was entered

  // --- What is entered, and where it is kept

  const storageKey = (number) => `vitw-review:${data.sample}:${number}`;

  function stored(number) {
    try {
      return JSON.parse(localStorage.getItem(storageKey(number)));
    } catch {
      return null;
    }
  }

  function keep() {
    try {
      const state = { ...exported(), place };
      localStorage.setItem(storageKey(share), JSON.stringify(state));
      localStorage.setItem(`vitw-review:${data.sample}`, String(share));
    } catch {
      say("This browser keeps nothing: save your labels to a file before you leave.", true);
    }
  }

  function emptyRecord() {
    return {
      subjectivity: null,
      response_type: null,
      ai_values: [],
      human_values: [],
      note: "",
      skipped: false,
    };
  }

  const current = () => shown[place];
  const record = () => (records[current().id] ??= emptyRecord());
  const isSubjective = (one) => one.subjectivity !== null && one.subjectivity >= data.subjectiveFrom;
  const asksResponse = (id, one) => isSubjective(one) && byId.get(id).answered;

  function isDone(id) {
    const one = records[id];
    if (!one) return false;
    if (one.skipped) return true;
    return one.subjectivity !== null && (!asksResponse(id, one) || one.response_type !== null);
  }

  function isTouched(one) {
    return JSON.stringify(one) !== JSON.stringify(emptyRecord());
  }

  // --- Files

  function exported() {
    const labels = [];
    for (const { id } of shown) {
      const one = records[id];
      if (!one || !isTouched(one)) continue;
      const subjective = isSubjective(one);
      labels.push({
        conversation_id: id,
        subjectivity: one.subjectivity,
        response_type: asksResponse(id, one) ? one.response_type : null,
        ai_values: subjective ? one.ai_values : [],
        human_values: subjective ? one.human_values : [],
        note: one.note,
        skipped: one.skipped,
      });
    }
    return { format: data.format, sample: data.sample, labeller, share, labels };
  }

  function download(content, type, extension) {
    const link = document.createElement("a");
    const name = labeller.replace(/[^A-Za-z0-9]+/g, "-") || "labels";
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = `labels-${data.name}-${share}-${name}.${extension}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`Saved ${link.download}.`);
  }

  function saveJson() {
    download(JSON.stringify(exported(), null, 1) + "\n", "application/json", "json");
  }

  function csvCell(value) {
    const text = value === null ? "" : String(value);
    // A spreadsheet takes a cell that starts like this for a formula.
    const safe = /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  }

  function saveCsv() {
    const columns = Object.keys({ conversation_id: "", ...emptyRecord() });
    const rows = exported().labels.map((one) =>
      ["labeller", ...columns].map((name) => {
        const value = name === "labeller" ? labeller : one[name];
        return csvCell(Array.isArray(value) ? value.join("; ") : value);
      }),
    );
    const lines = [["labeller", ...columns].map(csvCell), ...rows].map((cells) => cells.join(","));
    download(lines.join("\r\n") + "\r\n", "text/csv", "csv");
  }

  function cleanRecord(found) {
    const one = emptyRecord();
    if ([1, 2, 3, 4].includes(found.subjectivity)) one.subjectivity = found.subjectivity;
    if (responseCodes.has(found.response_type)) one.response_type = found.response_type;
    for (const { field, most } of data.valueFacets) {
      if (!Array.isArray(found[field])) continue;
      const labels = found[field].filter((label) => typeof label === "string");
      one[field] = labels.filter((label) => labelForm.test(label)).slice(0, most);
    }
    if (typeof found.note === "string") one.note = found.note;
    one.skipped = found.skipped === true;
    return one;
  }

  function restore(state) {
    for (const found of state.labels) {
      if (found && byId.has(found.conversation_id)) {
        records[found.conversation_id] = cleanRecord(found);
      }
    }
  }

  function load(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    file.text().then((text) => {
      let state = null;
      try {
        state = JSON.parse(text);
      } catch {
        state = null;
      }
      const known = state && state.format === data.format && Array.isArray(state.labels);
      if (!known) return alertUser("This is no file of labels.");
      if (state.sample !== data.sample) return alertUser("These labels are of another sample.");
      if (!(state.share >= 1 && state.share <= data.labellers)) {
        return alertUser("This file does not say whose share it is.");
      }
      if (!get("work").hidden && state.share !== share) {
        return alertUser(`These are the labels of labeller ${state.share}.`);
      }
      begin(String(state.labeller), state.share);
      restore(state);
      keep();
      go(firstOpen(0));
      say(`Loaded ${state.labels.length} labels.`);
    });
  }

  function alertUser(text) {
    if (get("work").hidden) window.alert(text);
    else say(text, true);
  }

  function say(text, isWarning = false) {
    get("status").textContent = text;
    get("status").className = isWarning ? "warn" : "soft";
  }

  // --- What is shown

  const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/gu;

  // Characters that reorder or hide text are named instead of obeyed.
  function visible(text) {
    return text.replace(INVISIBLE, (c) => `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function showConversation() {
    const names = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };
    const turns = current().turns.map((turn) => {
      const made = element("section", `turn ${turn.role in names ? turn.role : ""}`);
      const words = element("p", "words", visible(turn.text));
      words.dir = "auto";
      made.append(element("p", "speaker", names[turn.role] ?? "Other"), words);
      return made;
    });
    get("conversation").replaceChildren(...turns);
    get("conversation").scrollTop = 0;
  }

  function showLabels() {
    const one = record();
    const done = shown.filter(({ id }) => isDone(id)).length;
    get("where").textContent = `${labeller}: ${done} of ${shown.length} labelled`;
    get("progress").max = shown.length;
    get("progress").value = done;
    for (const input of document.querySelectorAll('input[name="level"]')) {
      input.checked = Number(input.value) === one.subjectivity;
    }
    for (const input of document.querySelectorAll('input[name="response"]')) {
      input.checked = input.value === one.response_type;
    }
    const subjective = isSubjective(one);
    get("responses").hidden = !asksResponse(current().id, one);
    get("values").hidden = !subjective;
    get("below").hidden = subjective || one.subjectivity === null;
    for (const { field } of data.valueFacets) showChosen(field);
    if (get("note").value !== one.note) get("note").value = one.note;
    get("skip").setAttribute("aria-pressed", String(one.skipped));
  }

  function showChosen(field) {
    const items = record()[field].map((label) => {
      const button = element("button", "", `${label} \u00d7`);
      button.type = "button";
      button.setAttribute("aria-label", `remove ${label}`);
      button.addEventListener("click", () => {
        removeValue(field, label);
        get(field).focus();
      });
      const item = element("li");
      item.append(button);
      return item;
    });
    get(`${field}-chosen`).replaceChildren(...items);
  }

  function go(where) {
    place = Math.min(Math.max(where, 0), shown.length - 1);
    const total = shown.length;
    get("heading").textContent = `Conversation ${place + 1} of ${total}`;
    for (const { field } of data.valueFacets) {
      get(field).value = "";
      showOptions(field);
    }
    showConversation();
    showLabels();
    keep();
    window.scrollTo(0, 0);
    get("heading").focus();
  }

  function firstOpen(from) {
    for (let step = 0; step < shown.length; step += 1) {
      const where = (from + step) % shown.length;
      if (!isDone(shown[where].id)) return where;
    }
    return place;
  }

  function goOpen() {
    const where = firstOpen(place + 1);
    if (isDone(shown[where].id)) say("All are labelled. Save the labels, and hand in the file.");
    go(where);
  }

  // --- What is entered

  function change(changes) {
    Object.assign(record(), changes);
    showLabels();
    keep();
  }

  const setLevel = (level) => change({ subjectivity: level, skipped: false });

  function setResponse(code) {
    if (asksResponse(current().id, record())) change({ response_type: code });
  }

  function addValue(field, typed) {
    const label = typed.trim().toLowerCase().replace(/\s+/g, " ").replaceAll("\u2019", "'");
    if (!label) return;
    const { name, most } = data.valueFacets.find((facet) => facet.field === field);
    if (!labelForm.test(label)) {
      say("A value is written in English letters, with spaces, hyphens and apostrophes.", true);
      return;
    }
    const values = record()[field];
    if (values.length >= most) return void say(`${name}: ${most} at most.`, true);
    if (!values.includes(label)) change({ [field]: [...values, label] });
    get(field).value = "";
    showOptions(field);
  }

  function removeValue(field, label) {
    change({ [field]: record()[field].filter((value) => value !== label) });
  }

  // --- Values: type-ahead from the list, or free entry

  const active = Object.fromEntries(data.valueFacets.map(({ field }) => [field, -1]));

  function optionsFor(field) {
    const typed = get(field).value.trim().toLowerCase();
    if (!typed) return [];
    const chosen = new Set(record()[field]);
    const known = data.values[field].filter((label) => !chosen.has(label));
    const starting = known.filter((label) => label.startsWith(typed));
    const holding = known.filter((label) => !label.startsWith(typed) && label.includes(typed));
    return [...starting, ...holding].slice(0, SHOWN_OPTIONS);
  }

  function showOptions(field, selected = -1) {
    const options = optionsFor(field);
    active[field] = options.length ? Math.min(selected, options.length - 1) : -1;
    const items = options.map((label, index) => {
      const item = element("li", "", label);
      item.id = `${field}-option-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(index === active[field]));
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        addValue(field, label);
      });
      return item;
    });
    const list = get(`${field}-list`);
    list.replaceChildren(...items);
    list.hidden = !options.length;
    const input = get(field);
    input.setAttribute("aria-expanded", String(options.length > 0));
    if (active[field] >= 0) input.setAttribute("aria-activedescendant", `${field}-option-${active[field]}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function onValueKey(field, event) {
    const input = event.target;
    const options = optionsFor(field);
    if (event.key === "Enter") addValue(field, options[active[field]] ?? input.value);
    else if (event.key === "ArrowDown") showOptions(field, Math.min(active[field] + 1, options.length - 1));
    else if (event.key === "ArrowUp") showOptions(field, Math.max(active[field] - 1, -1));
    else if (event.key === "Backspace" && !input.value) {
      const last = record()[field].at(-1);
      if (last) removeValue(field, last);
      return;
    } else return;
    event.preventDefault();
  }

  // --- Keys

  function showRules() {
    const rules = get("rules");
    rules.open = !rules.open;
    if (rules.open) rules.scrollIntoView({ block: "start" });
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || get("work").hidden) return;
    const target = event.target;
    const isText = target.matches('textarea, select, input:not([type="radio"])');
    if (event.key === "Escape" && isText) {
      target.blur();
      get("heading").focus();
      return;
    }
    if (isText) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const isRadio = target.matches('input[type="radio"]');
    const actions = {
      n: () => go(place + 1),
      p: () => go(place - 1),
      u: goOpen,
      x: () => get("skip").click(),
      t: () => get("note").focus(),
      r: showRules,
      ...(isRadio ? {} : { ArrowRight: () => go(place + 1), ArrowLeft: () => go(place - 1) }),
    };
    if (/^[1-4]$/.test(key)) setLevel(Number(key));
    else if (responseByKey.has(key)) setResponse(responseByKey.get(key));
    else if (key in valueKeys) {
      if (get("values").hidden) return;
      get(valueKeys[key]).focus();
    } else if (Object.hasOwn(actions, key)) actions[key]();
    else return;
    event.preventDefault();
  }

  // --- Start

  function begin(name, number) {
    labeller = name;
    share = number;
    records = {};
    shown = data.conversations.filter((one) => one.labeller === null || one.labeller === share);
    const state = stored(share);
    if (state && Array.isArray(state.labels)) restore(state);
    get("start").hidden = true;
    get("work").hidden = false;
    place = state && Number.isInteger(state.place) ? state.place : 0;
    go(place);
  }

  function fillName() {
    const state = stored(Number(get("share").value));
    if (state && typeof state.labeller === "string") get("name").value = state.labeller;
  }

  get("start-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = get("name").value.trim();
    if (name) begin(name, Number(get("share").value));
  });
  get("share").addEventListener("change", fillName);
  for (const id of ["load", "load-start"]) get(id).addEventListener("change", (event) => load(event.target));
  get("save-json").addEventListener("click", saveJson);
  get("save-csv").addEventListener("click", saveCsv);
  get("next").addEventListener("click", () => go(place + 1));
  get("previous").addEventListener("click", () => go(place - 1));
  get("unfinished").addEventListener("click", goOpen);
  get("skip").addEventListener("click", () => change({ skipped: !record().skipped }));
  get("note").addEventListener("input", (event) => change({ note: event.target.value }));
  get("levels").addEventListener("change", (event) => setLevel(Number(event.target.value)));
  get("responses").addEventListener("change", (event) => setResponse(event.target.value));
  for (const { field } of data.valueFacets) {
    get(field).addEventListener("input", () => showOptions(field));
    get(field).addEventListener("keydown", (event) => onValueKey(field, event));
    get(field).addEventListener("blur", () => addValue(field, get(field).value));
  }
  document.addEventListener("keydown", onKey);
  try {
    const last = localStorage.getItem(`vitw-review:${data.sample}`);
    if (last) get("share").value = last;
  } catch {
    // nothing is kept by this browser; `keep` says so
  }
  fillName();
  get("start").hidden = false;
  get("name").focus();
})();
