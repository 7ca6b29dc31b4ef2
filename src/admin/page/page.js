// The live page: shows the events of the server's `live` stream, publishes a message, disconnects a stream.
//
// Text from the network never becomes markup. The page keeps ten minutes of figures and the rows of the newest sample,
// however long it is open. A hidden page keeps figures and draws nothing.
"use strict";

/** The time that the charts show, in seconds: at most, and at least. In between it grows with the figures kept. */
const WINDOW = 600;
const SHORTEST_WINDOW = 60;
/** "The last minute" of the tables. This and the times below are in milliseconds. */
const MINUTE = 60_000;
/** Samples come each second. Between two that are further apart than this, the charts have a gap. */
const GAP = 5_000;
/** A connection that is silent for this long is dead, even if the browser holds it open. */
const SILENCE = 10_000;
/** Pause before a new connection if the browser has given up, as it does after any answer that is no stream. */
const RETRY = 3_000;
/** A pointer that has rested for this long no longer holds the rows of the slowest streams in place. */
const REST = 30_000;
/** Longest wait for an answer of the server. */
const PATIENCE = 30_000;

const byId = (id) => document.getElementById(id);

function make(name, className = "", text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Changes text only if it differs, so that a quiet second costs no layout. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

// Figures as text. A narrow space separates groups of three digits, which every locale reads alike.

const group = (number) => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const significant = (number, digits) => (number >= 10 ** digits ? Math.round(number) : +number.toPrecision(digits));

/** A number with the largest unit prefix that keeps it at one or more. */
function prefixed(number, base, units, digits) {
  let step = 0;
  for (; number >= 0.9995 * base && step < units.length - 1; step++) number /= base;
  return [String(significant(number, digits)), units[step]];
}

const joined = ([number, unit]) => (unit ? `${number} ${unit}` : number);
const short = (number) => prefixed(number, 1000, ["", "k", "M", "G", "T"], 3);
const size = (bytes) => prefixed(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"], 3);
/** Counts below a million, in full. */
const count = (number) => (number < 1e6 ? [group(number), ""] : short(number));
const rate = (number) => (number < 9.95 ? [String(+number.toFixed(1)), ""] : count(number));

/** A time in seconds: below a minute in one unit, above in two. */
function time(seconds) {
  if (seconds < 0.9995) return [String(significant(seconds * 1e3, seconds < 0.01 ? 2 : 3)), "ms"];
  if (seconds < 59.95) return [String(significant(seconds, 2 + (seconds >= 9.95))), "s"];
  // Rounds before it chooses units, or just short of a minute would read 60 s.
  seconds = Math.round(seconds);
  const [large, name, small, rest] = seconds < 3600 ? [60, "min", 1, "s"]
    : seconds < 86_400 ? [3600, "h", 60, "min"] : [86_400, "d", 3600, "h"];
  return [`${Math.floor(seconds / large)} ${name} ${Math.floor((seconds % large) / small)}`, rest];
}

const two = (number) => String(number).padStart(2, "0");
const clock = (at, seconds = true) => {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(date.getSeconds())}` : ""}`;
};

// Kept figures.

/** The charts' columns, `at` in seconds. */
const kept = { at: [], streams: [], messages: [], deliveries: [], p50: [], p99: [] };
/** The totals of the last minute, oldest first. */
let minute = [];
let hello = null;
/** The newest sample, its time of arrival, and the rates between it and the one before. */
let last = null;
let arrived = 0;
let rates = null;

/** The server's time now, in milliseconds: its clock may differ from this machine's. */
const now = () => (last ? last.at + performance.now() - arrived : Date.now());

function ratesBetween(before, after) {
  const passed = after.at - before.at;
  if (passed <= 0 || passed > GAP) return null;
  const each = (field) => Math.max(0, ((after[field] - before[field]) * 1000) / passed);
  const workers = after.workers.map((worker, index) => {
    const earlier = before.workers[index] ?? worker;
    return Math.max(0, ((worker.deliveries - earlier.deliveries) * 1000) / passed);
  });
  return { messages: each("messages"), deliveries: each("deliveries"), bytes: each("bytes"), workers };
}

/** Adds a row to the charts, and drops rows that are older than the window. */
function keep(at, row) {
  kept.at.push(at / 1000);
  for (const name of Object.keys(kept)) if (name !== "at") kept[name].push(row[name] ?? null);
  const oldest = at / 1000 - WINDOW - 2;
  while (kept.at[0] < oldest || kept.at.length > 2 * WINDOW) Object.values(kept).forEach((column) => column.shift());
}

function take(sample) {
  const newest = (kept.at.at(-1) ?? 0) * 1000;
  if (sample.at < newest - GAP) Object.values(kept).forEach((column) => (column.length = 0));
  else if (newest && sample.at - newest > GAP) keep(newest + 1000, {});
  rates = last && ratesBetween(last, sample);
  if (sample.at > newest || !kept.at.length) keep(sample.at, { ...sample.latency, ...rates, streams: sample.streams });
  minute = minute.filter((totals) => totals.at >= sample.at - MINUTE && totals.at < sample.at);
  minute.push({ at: sample.at, ended: sample.ended, publishes: sample.publishes, refused: sample.refused });
  last = sample;
  arrived = performance.now();
}

// The connection.

let source = null;
let tried = 0;
let heard = 0;

function connect() {
  source?.close();
  tried = performance.now();
  source = new EventSource("live");
  const on = (name, act) => {
    source.addEventListener(name, (event) => {
      heard = performance.now();
      act(JSON.parse(event.data));
    });
  };
  on("hello", greet);
  on("configuration", showConfiguration);
  on("sample", (sample) => {
    take(sample);
    setState(sample.ready ? "ready" : "unready");
    render();
  });
  source.addEventListener("error", () => setState("lost"));
}

function greet(said) {
  // A restarted server counts from zero, so that differences mean nothing.
  if (hello?.started !== said.started) {
    last = null;
    minute = [];
  }
  hello = said;
  byId("addresses").replaceChildren(...said.addresses.map((address) => make("code", "", address)));
  say(byId("build"), `smolcast ${said.version}, process ${said.pid}, ${plural(said.workers, "worker")}, ` +
    `since ${new Date(said.started).toLocaleString()}`);
  showConfiguration(said.configuration);
}

const plural = (number, noun) => `${group(number)} ${noun}${number === 1 ? "" : "s"}`;

const STATES = { ready: "Ready", unready: "Not ready", lost: "Connection lost" };

function setState(state) {
  const element = byId("state");
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  document.body.classList.toggle("stale", state === "lost");
  say(element, STATES[state]);
  document.title = state === "ready" ? "smolcast" : `${STATES[state]} – smolcast`;
  showLost();
}

/** Shows the time since the last sample beside the state: screen readers read the state at each change. */
function showLost() {
  const lost = byId("state").dataset.state === "lost";
  show(byId("lost"), lost);
  if (!lost) return;
  const ago = last && joined(time(Math.max(1, Math.round((performance.now() - arrived) / 1000))));
  say(byId("lost"), last
    ? `No word from the server for ${ago}: the figures are from ${clock(last.at)}. Reconnecting…`
    : "The server does not answer. Trying again…");
}

/** Reconnects, and moves times and charts on, while no sample comes. Runs each second. */
function tick() {
  const at = performance.now();
  const silent = at - Math.max(heard, tried) > SILENCE;
  if (silent) setState("lost");
  if (silent || (source.readyState === EventSource.CLOSED && at - tried > RETRY)) connect();
  if (document.hidden) return;
  showLost();
  if (at - arrived > 1500) drawCharts();
}

// Shown figures.

function render() {
  if (document.hidden || !last) return;
  showFigures();
  showWorkers();
  showTally("ended", ENDED);
  showTally("publishes", PUBLISHES);
  showTally("refused", REFUSED);
  showHistory();
  showSlowest();
  showReach();
  drawCharts();
}

function showFigure(id, [number, unit], note) {
  const element = byId(id);
  if (!element.firstElementChild) element.replaceChildren(make("span"), make("small"));
  say(element.firstElementChild, number);
  say(element.lastElementChild, unit);
  say(byId(`${id}-note`), note);
}

function showFigures() {
  const { streams, connections, latency } = last;
  const limit = hello?.connection_limit;
  const showRate = (name, write, total) => {
    const [number, unit] = rates ? write(rates[name]) : ["–", ""];
    showFigure(name, [number, rates ? `${unit}/s` : ""], `${joined(total(last[name]))} in all`);
  };
  const most = limit ? ` of ${group(limit)}` : "";
  showFigure("streams", [group(streams), ""], plural(connections, "connection") + most);
  byId("streams-note").classList.toggle("warn", limit > 0 && connections >= 0.9 * limit);
  showRate("messages", rate, count);
  showRate("deliveries", rate, count);
  showRate("bytes", size, size);
  showFigure("latency", latency ? time(latency.p99) : ["–", ""],
    latency ? `p50 ${joined(time(latency.p50))}` : "nothing written in the last second");
  say(byId("up"), hello ? `up ${joined(time((last.at - hello.started) / 1000))}` : "");
}

/** A cell with a bar below its number. */
function barCell() {
  const cell = make("td", "barred");
  const bar = make("span", "bar");
  bar.append(make("i"));
  cell.append(make("span"), bar);
  return cell;
}

function showBar(cell, text, part) {
  say(cell.firstElementChild, text);
  const width = `${(100 * part).toFixed(1)}%`;
  const bar = cell.lastElementChild.firstElementChild;
  if (bar.style.width !== width) bar.style.width = width;
}

function showWorkers() {
  const body = byId("workers");
  const { workers } = last;
  while (body.rows.length > workers.length) body.lastElementChild.remove();
  while (body.rows.length < workers.length) {
    const row = make("tr");
    const head = make("th");
    head.scope = "row";
    head.append(make("span", "", String(body.rows.length)), make("span", "badge"));
    row.append(head, barCell(), barCell(), make("td", "number"), make("td", "number"));
    body.append(row);
  }
  const mostStreams = Math.max(1, ...workers.map((worker) => worker.streams));
  const mostDeliveries = Math.max(1, ...(rates?.workers ?? []));
  workers.forEach((worker, index) => {
    const [head, streams, deliveries, slow, room] = body.rows[index].cells;
    const own = rates?.workers[index];
    showBar(streams, group(worker.streams), worker.streams / mostStreams);
    showBar(deliveries, own === undefined ? "–" : joined(rate(own)), (own ?? 0) / mostDeliveries);
    say(slow, group(worker.slow));
    slow.classList.toggle("warn", worker.slow > 0);
    say(room, joined(size(worker.window_bytes)));
    say(head.lastElementChild, worker.turned > 1 ? `stuck for ${joined(time(worker.turned))}` : "");
  });
}

const ENDED = {
  hang_up: ["Hung up", "by the client"],
  lagged: ["Lagged", "over the window"],
  stalled: ["Stalled", "took nothing for too long"],
  input: ["Input", "client sent too much"],
  disconnected: ["Disconnected", "from this page"],
  stopped: ["Stopped", "with the server, complete"],
  cut: ["Cut", "with the server, incomplete"],
};
const PUBLISHES = {
  accepted: ["Accepted", ""],
  unauthorized: ["Unauthorized", "no token, or a wrong one"],
  forbidden: ["Forbidden", "from another page, or for another host"],
  too_large: ["Too large", "over the limit of a message"],
  duplicate: ["Duplicate", "its id is held already"],
  invalid: ["Invalid", "malformed, or not sent in time"],
  unavailable: ["Unavailable", "ending, or the disk failed"],
};
const REFUSED = {
  connections: ["Rejected", "told to come back"],
  dropped: ["Dropped", "closed at once"],
  address: ["Address", "either, over the limit of its address"],
  filters: ["Filters", "no memory for its topic filters, told to reconnect later"],
};

/** Rows of totals by name, each with its share of the last minute. */
function showTally(id, names) {
  const body = byId(id);
  const before = minute[0][id];
  for (const [key, total] of Object.entries(last[id])) {
    let row = [...body.rows].find((row) => row.dataset.key === key);
    if (!row) {
      const [name, note] = names[key] ?? [key[0].toUpperCase() + key.slice(1).replaceAll("_", " "), ""];
      const head = make("th", "", `${name} `);
      head.scope = "row";
      head.append(make("span", "note", note));
      row = make("tr");
      row.dataset.key = key;
      row.append(head, make("td", "number"), make("td", "number"));
      body.append(row);
    }
    const recent = Math.max(0, total - (before[key] ?? 0));
    say(row.cells[1], group(recent));
    say(row.cells[2], group(total));
    row.cells[1].classList.toggle("zero", recent === 0);
    row.classList.toggle("zero", total === 0);
  }
}

function showHistory() {
  const { history } = last;
  show(byId("history"), Boolean(history));
  show(byId("no-history"), !history);
  if (!history) return;
  say(byId("history-events"), group(history.events));
  say(byId("history-bytes"), joined(size(history.bytes)));
  say(byId("history-oldest"), history.events ? `${joined(time(history.oldest))} ago` : "–");
}

// The slowest streams. A person about to press a button must find the same row under it. So rows keep their places
// while the pointer is among them, and the row with the focus never leaves the document.

const slow = { rows: new Map(), pointed: -Infinity };

const isHeld = () => performance.now() - slow.pointed < REST;

function showSlowest() {
  const { slowest, workers } = last;
  const listed = new Set(slowest.map((stream) => stream.id));
  const gone = [...slow.rows.values()].filter((row) => !listed.has(row.id));
  // Gone rows stay while rows are held, at most as many as the list has.
  gone.forEach((row, index) => (isHeld() && index >= gone.length - 20 ? leave(row) : remove(row)));
  for (const stream of slowest) update(slow.rows.get(stream.id) ?? add(stream), stream);
  if (!isHeld()) order(slowest.map((stream) => slow.rows.get(stream.id).element));
  show(byId("slowest-table"), slow.rows.size > 0);
  show(byId("none-slow"), slow.rows.size === 0);
  const all = workers.reduce((sum, worker) => sum + worker.slow, 0);
  say(byId("slow-count"), all ? `${group(all)} of ${group(last.streams)} slow` : "");
}

function add({ id, peer, worker, topics }) {
  const element = make("tr");
  const button = make("button", "danger", "Disconnect");
  const cells = {
    peer: make("th", "peer", peer),
    worker: make("td", "number", String(worker)),
    behind: make("td", "number"),
    seconds: make("td", "number"),
    topics: make("td", "topics"),
    act: make("td", "act"),
  };
  cells.peer.scope = "row";
  element.setAttribute("role", "row");
  for (const [name, cell] of Object.entries(cells)) cell.setAttribute("role", name === "peer" ? "rowheader" : "cell");
  if (topics.length) cells.topics.append(...topics.map((topic) => make("code", "", topic)));
  else cells.topics.append(make("span", "note", "no topic"));
  button.type = "button";
  button.setAttribute("aria-label", `Disconnect ${peer}`);
  button.addEventListener("click", () => disconnect(row));
  cells.act.append(button, make("span", "why"));
  element.append(...Object.values(cells));
  const row = { id, peer, element, cells, button, why: cells.act.lastElementChild, asked: false };
  slow.rows.set(id, row);
  byId("slowest").append(element);
  return row;
}

function update(row, { behind, seconds }) {
  say(row.cells.behind, joined(size(behind)));
  say(row.cells.seconds, joined(time(seconds)));
  if (row.element.classList.contains("gone")) {
    row.element.classList.remove("gone");
    say(row.why, "");
  }
}

/** Marks the row of a stream that left the list, without moving the rows below. */
function leave(row) {
  passFocus(row);
  row.element.classList.add("gone");
  say(row.why, row.asked ? "gone" : "off the list");
}

function remove(row) {
  passFocus(row);
  if (row.asked) say(byId("slowest-said"), `${row.peer} is gone`);
  row.element.remove();
  slow.rows.delete(row.id);
}

/** Passes the focus of a row that goes to the nearest row. */
function passFocus({ element }) {
  if (!element.contains(document.activeElement)) return;
  const rows = [...byId("slowest").querySelectorAll("tr:not(.gone)")];
  const next = rows.find((row) => element.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING);
  const nearest = next ?? rows.findLast((row) => row !== element);
  (nearest?.querySelector("button") ?? byId("slowest-title")).focus({ preventScroll: true });
}

/** Sorts the rows around the one that has the focus, which stays in place. */
function order(elements) {
  const body = byId("slowest");
  const fixed = elements.find((element) => element.contains(document.activeElement));
  let place = body.firstElementChild;
  for (const element of elements) {
    if (element === place) place = place.nextElementSibling;
    else if (element === fixed) place = element.nextElementSibling;
    else body.insertBefore(element, place);
  }
}

async function disconnect(row) {
  if (row.asked) return;
  row.asked = true;
  label(row, "Disconnecting…");
  say(row.why, "");
  const answer = await ask(`disconnect?stream=${encodeURIComponent(row.id)}`);
  if (!answer.ok) say(row.why, answer.text);
  // The next sample removes a row that is gone, as it does a disconnected one.
  if (answer.ok || answer.status === 404) return;
  row.asked = false;
  label(row, "Disconnect");
  say(byId("slowest-said"), answer.text);
}

function label(row, text) {
  row.button.textContent = text;
  row.button.setAttribute("aria-label", `${text} ${row.peer}`);
  row.button.setAttribute("aria-disabled", String(row.asked));
}

/** Posts; a failure to get an answer is an answer too. */
async function ask(path, body = "") {
  try {
    const answer = await fetch(path, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) });
    const text = (await answer.text()).trim();
    return { ok: answer.ok, status: answer.status, text: text || `The server answered ${answer.status}.` };
  } catch {
    return { ok: false, status: 0, text: "The server did not answer; it may have done it or not." };
  }
}

// Publishing.

let sending = false;

async function publish() {
  if (sending) return;
  const query = [["event", byId("type").value], ["topic", byId("topic").value]]
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  setSending(true);
  const start = performance.now();
  const answer = await ask(`publish${query.length ? "?" : ""}${query.join("&")}`, byId("message").value);
  const took = joined(time((performance.now() - start) / 1000));
  const receipt = answer.ok && JSON.parse(answer.text);
  const verdict = byId("verdict");
  verdict.classList.toggle("bad", !receipt);
  verdict.textContent = receipt ? `Published to ${plural(receipt.subscribers, "stream")} in ${took}.` : answer.text;
  verdict.hidden = false;
  // Without a history, events have no id.
  byId("id").textContent = receipt?.id ?? "";
  byId("receipt").hidden = !receipt?.id;
  setSending(false);
}

/** Keeps the button enabled for the browser, or it would lose the focus. */
function setSending(value) {
  sending = value;
  say(byId("send"), value ? "Publishing…" : "Publish");
  byId("send").setAttribute("aria-disabled", String(value));
  byId("outcome").classList.toggle("old", value);
}

function showReach() {
  const all = last ? `: ${group(last.streams)} now` : "";
  say(byId("reach"), byId("topic").value ? "Reaches the streams that ask for this topic."
    : `Without a topic it reaches every stream${all}.`);
}

// The configuration.

function showConfiguration(options) {
  const groups = new Map();
  for (const { group: name, name: flag, value, help } of options) {
    if (!groups.has(name)) {
      const section = make("section");
      section.append(make("h3", "", name), make("dl"));
      groups.set(name, section);
    }
    const row = make("div");
    const set = make("dd", "value");
    set.append(make("code", "", value));
    row.append(make("dt", "", flag), set, make("dd", "note", help));
    groups.get(name).lastElementChild.append(row);
  }
  byId("configuration").replaceChildren(...groups.values());
  filterConfiguration();
}

function filterConfiguration() {
  const wanted = byId("filter").value.trim().toLowerCase();
  let found = 0;
  for (const section of byId("configuration").children) {
    let here = 0;
    const whole = section.firstElementChild.textContent.toLowerCase().includes(wanted);
    for (const row of section.lastElementChild.children) {
      row.hidden = !whole && !row.textContent.toLowerCase().includes(wanted);
      here += !row.hidden;
    }
    section.hidden = here === 0;
    found += here;
  }
  show(byId("none-found"), found === 0 && byId("configuration").children.length > 0);
}

// The charts.

const CHARTS = [
  { title: "Streams", lines: ["streams"], write: count, floor: 4 },
  { title: "Messages per second", lines: ["messages"], write: rate, floor: 1 },
  { title: "Deliveries per second", lines: ["deliveries"], write: rate, floor: 1 },
  { title: "Publish to write", lines: ["p99", "p50"], write: time, log: true },
];
const INKS = { p50: "--second" };

let inks = {};

/** A colour of the style sheet; the canvas does not inherit it. */
const ink = (name) => (inks[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim());

/** The range of the time axis: from the oldest kept figure to now. */
function shown() {
  const end = now() / 1000;
  return [Math.max(end - WINDOW, Math.min(kept.at[0] ?? end, end - SHORTEST_WINDOW)), end];
}

/** The range of a linear axis: from zero to a little above the highest value. */
const linear = (floor) => (_chart, _low, high) => [0, Math.max(floor, (high ?? 0) * 1.12)];

/** Whole powers of ten, at least one of them. */
function decades(_chart, low, high) {
  if (!(low > 0)) return [1e-4, 1];
  const bottom = Math.floor(Math.log10(low) + 1e-9);
  return [10 ** bottom, 10 ** Math.max(bottom + 1, Math.ceil(Math.log10(high) - 1e-9))];
}

function powers(_chart, _axis, low, high) {
  const [bottom, top] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))];
  return Array.from({ length: top - bottom + 1 }, (_, index) => 10 ** (bottom + index));
}

/** Values with a gap on either side. A line has no length there, so they are drawn as points. */
function alone(chart, series) {
  const column = chart.data[series];
  return column.flatMap((value, index) =>
    value !== null && (column[index - 1] ?? null) === null && (column[index + 1] ?? null) === null ? [index] : []);
}

function makeChart({ title, lines, write, floor, log }) {
  const figure = make("figure", "card");
  const caption = make("figcaption");
  const readout = make("p", "readout");
  const plot = make("div", "plot");
  caption.append(make("h3", "", title), readout);
  figure.append(caption, plot);
  readout.append(make("span", "when"));
  const figures = lines.map((name) => {
    const value = make("b");
    if (lines.length > 1) readout.append(make("span", `key ${name}`, name));
    readout.append(value);
    return value;
  });
  plot.setAttribute("role", "img");
  byId("charts").append(figure);

  const axis = { stroke: () => ink("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: () => ink("--line"), width: 1 };
  const series = lines.map((name) => ({
    stroke: () => ink(INKS[name] ?? "--first"),
    fill: log ? undefined : () => ink("--wash"),
    width: 1.5,
    points: { show: true, size: 4, filter: alone, fill: () => ink(INKS[name] ?? "--first") },
  }));
  const options = {
    width: Math.max(1, plot.clientWidth),
    height: Math.max(1, plot.clientHeight),
    // Leaves room on the right for half of a time label.
    padding: [8, 28, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "time" }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: {
      x: { time: true, range: shown },
      y: log ? { distr: 3, range: decades } : { range: linear(floor) },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 24, gap: 6, space: 64, incrs: [10, 30, 60, 120, 300],
        values: (_chart, splits, _axis, _space, step) => splits.map((at) => clock(at * 1000, step < 60)) },
      { ...axis, grid, size: 50, gap: 6, space: 28, ...(log && { splits: powers, filter: (_chart, splits) => splits }),
        values: (_chart, splits) => splits.map((value) => joined(log ? time(value) : short(value))) },
    ],
    series: [{}, ...series],
    hooks: { setCursor: [() => showReadout(entry)] },
  };
  const entry = { title, lines, write, figures, readout, plot, seen: true };
  entry.chart = new uPlot(options, columns(lines), plot);
  return entry;
}

const columns = (lines) => [kept.at, ...lines.map((name) => kept[name])];

/** Shows the values under the pointer; without a pointer, the highest ones. */
function showReadout({ chart, lines, write, figures, readout, plot, title }) {
  if (!chart) return;
  const at = chart.cursor.left >= 0 ? chart.cursor.idx : null;
  const isAt = at !== null && at !== undefined && at < kept.at.length;
  const highest = (name) => kept[name].reduce((most, value) => (value > most ? value : most), null);
  const told = (value) => (value === null ? "–" : joined(write(value)));
  say(readout.firstElementChild, isAt ? clock(kept.at[at] * 1000) : "peak");
  lines.forEach((name, index) => say(figures[index], told(isAt ? kept[name][at] : highest(name))));
  const text = lines.map((name) => `${lines.length > 1 ? `${name} ` : ""}${told(kept[name].at(-1) ?? null)} now, ` +
    `at most ${told(highest(name))}`);
  const description = `${title}, the last ten minutes: ${text.join("; ")}`;
  if (plot.getAttribute("aria-label") !== description) plot.setAttribute("aria-label", description);
}

let charts = [];

function drawCharts() {
  if (document.hidden) return;
  for (const entry of charts) {
    if (entry.seen) entry.chart.setData(columns(entry.lines));
    showReadout(entry);
  }
}

/** Draws only charts in sight, and fits them to their place. */
function watchCharts() {
  const find = (element) => charts.find((entry) => entry.plot === element);
  const sizes = new ResizeObserver((changes) => {
    for (const { target, contentRect } of changes) {
      const { width, height } = contentRect;
      if (width > 0) find(target).chart.setSize({ width: Math.floor(width), height: Math.floor(height) });
    }
  });
  const sights = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) find(target).seen = isIntersecting;
    drawCharts();
  });
  for (const { plot } of charts) {
    sizes.observe(plot);
    sights.observe(plot);
  }
}

function begin() {
  charts = CHARTS.map(makeChart);
  watchCharts();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => {
    inks = {};
    charts.forEach(({ chart }) => chart.redraw(false));
  });
  document.addEventListener("visibilitychange", render);
  byId("publish").addEventListener("submit", (event) => {
    event.preventDefault();
    publish();
  });
  byId("message").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    publish();
  });
  byId("topic").addEventListener("input", showReach);
  byId("filter").addEventListener("input", filterConfiguration);
  const rows = byId("slowest");
  rows.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") slow.pointed = performance.now();
  });
  rows.addEventListener("pointerleave", () => {
    slow.pointed = -Infinity;
    render();
  });
  showReach();
  connect();
  setInterval(tick, 1000);
}

begin();
