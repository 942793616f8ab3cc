// The drift that a pipeline has to expect, from what one generation adds, and the fresh data it needs.

import {
  accumulatedDrift, accumulatedLongRun, drift, firstAbove, halfLife, leastAlpha, longRun,
} from "./mathematics.js";
import { Refusal, assemble, count, element, entry, field, format, plain, text } from "./page.js";
import { frame, picture } from "./plot.js";

const MOST = 1000; // generations in the picture

export function calculator(place, settings) {
  const size = { low: 0, range: "a number that is 0 or more" };
  const error = { low: 0, empty: 0, value: settings.biasError, range: "0 or more, or nothing" };
  const fields = {
    bias: field("bias ‖*b*‖²", "bias", { ...size, value: settings.bias }),
    biasError: field("its standard error", "standard error of the bias", error),
    noise: field("noise E‖noise‖²", "noise", { ...size, value: settings.noise }),
    noiseError: field("its standard error", "standard error of the noise", { ...error, value: settings.noiseError }),
    alpha: field("fresh fraction *α*", "fresh fraction",
      { low: 0, open: true, high: 1, value: settings.alpha, range: "a number above 0 and at most 1" }),
    tolerated: field("tolerated drift *D*", "tolerated drift",
      { low: 0, open: true, value: settings.tolerated, range: "a number above 0" }),
    generations: field("generations *N*", "generations",
      { low: 1, high: MOST, whole: true, value: settings.generations, range: `a whole number from 1 to ${MOST}` }),
  };
  const results = element("dl", { class: "live-results" });
  const table = element("table", { class: "live-table" });
  assemble(place, {
    title: "Drift calculator",
    controls: Object.values(fields),
    legend: [
      entry("first", "fresh fraction *α*"), entry("second", "tolerated"), entry("third", "accumulate"),
      entry("fourth", "replace"),
    ],
    parts: [results, table],
    draw(width) {
      const { values, refusals } = read(fields);
      place.classList.toggle("live-refused", refusals.length > 0);
      if (refusals.length) {
        results.replaceChildren();
        table.replaceChildren();
        return { picture: [], words: refusals.map(refusal => `${refusal.message}.`) };
      }
      const answer = answers(values);
      results.replaceChildren(...shown(values, answer));
      table.replaceChildren(...rows(values, answer));
      return { picture: [curves(width, values, answer)], words: inWords(values, answer) };
    },
  });
}

function read(fields) {
  const values = {}, refusals = [];
  for (const [name, one] of Object.entries(fields)) {
    one.complain("");
    try {
      values[name] = one.read();
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      one.complain(refusal.message);
      refusals.push(refusal);
    }
  }
  return { values, refusals };
}

// All that the page shows, from what was typed.
export function answers({ bias, biasError, noise, noiseError, alpha, tolerated, generations }) {
  const found = {
    drift: drift(bias, noise, alpha, generations),
    replace: drift(bias, noise, 0, generations),
    accumulate: accumulatedDrift(bias, noise, 0, generations),
    both: accumulatedDrift(bias, noise, alpha, generations),
    longRun: longRun(bias, noise, alpha),
    halfLife: halfLife(alpha),
    least: leastAlpha(bias, noise, tolerated, biasError, noiseError),
    firstAbove: firstAbove(bias, noise, alpha, tolerated),
  };
  // Errors of bias and noise are added, since both come from the same runs.
  found.error = drift(biasError, noiseError, alpha, generations);
  return found;
}

function shown({ bias, noise, alpha, tolerated }, { longRun, halfLife, least, firstAbove }) {
  const fresh = least === null
    ? ["none", `tolerated drift = ${plain(tolerated)}: fresh data alone leave ${format(bias + noise)}: ` +
       "train better models, or tolerate more"]
    : bias + noise === 0 ? ["0", "there is neither bias nor noise: any fresh fraction will do"]
      : [format(least.alpha) + (least.error > 0 ? ` ± ${format(least.error)}` : ""), interval(least)];
  return [
    result("long", "drift in the long run", format(longRun), "‖*b*‖²/*α*² + E‖noise‖²/(*α*(2 − *α*))"),
    result("least", `least fresh fraction for *D* = ${plain(tolerated)}`, ...fresh, least === null),
    result("above", "first above the tolerated drift",
      firstAbove === Infinity ? "never" : `generation ${count(firstAbove)}`, "generation 0 sees data alone"),
    result("memory", "memory: a deviation has halved after",
      alpha === 1 ? "0 generations" : `${format(halfLife)} generations`,
      alpha === 1 ? "nothing is inherited" : `its square after ${format(halfLife / 2)}`),
  ];
}

function interval({ alpha, error }) {
  if (Number.isNaN(error)) return "no interval: the drift does not change with *α* here";
  if (error === 0) return "the drift ends at what is tolerated";
  const low = alpha - 2 * error, high = alpha + 2 * error;
  const ends = [low > 0 ? format(low) : "0", high < 1 ? format(high) : "1"];
  return `${ends[0]} to ${ends[1]} within two standard errors`;
}

function result(name, label, value, note, wrong = false) {
  return element("div", { "data-result": name },
    element("dt", {}, ...text(label)),
    element("dd", { class: "live-value" }, value),
    element("dd", { class: wrong ? "live-note live-error" : "live-note" }, ...text(note)));
}

// Regimes side by side: drift in generation N, where it ends, and when it is first too much.
function rows({ bias, noise, alpha, tolerated, generations }, found) {
  const regimes = [
    [`fresh fraction *α* = ${plain(alpha)}`, found.drift, found.longRun],
    ["replace: the last model’s points alone", found.replace, longRun(bias, noise, 0)],
    ["accumulate: data once, then models’ points", found.accumulate, accumulatedLongRun(bias, noise, 0)],
    [`accumulate, each batch with *α* = ${plain(alpha)}`, found.both, accumulatedLongRun(bias, noise, alpha)],
  ];
  const head = ["trained on", `drift in generation ${generations}`, "in the long run", "first above"];
  const cell = (tag, attributes) => marked => element(tag, attributes, ...text(marked));
  return [
    element("caption", {}, "Regimes side by side"),
    element("thead", {}, element("tr", {}, ...head.map(cell("th", { scope: "col" })))),
    element("tbody", {}, ...regimes.map(([name, path, end]) => {
      const above = path.findIndex(one => one > tolerated);
      const numbers = [format(path.at(-1)), format(end), above < 0 ? `not by ${generations}` : String(above)];
      return element("tr", {}, cell("th", { scope: "row" })(name), ...numbers.map(cell("td", {})));
    })),
  ];
}

function curves(width, { tolerated, generations }, found) {
  const last = found.drift.at(-1) + 2 * found.error.at(-1) || tolerated;
  const highest = 1.15 * (tolerated < 4 * last ? Math.max(tolerated, last) : last);
  const plot = frame(width, Math.min(300, 0.4 * width + 110), {
    x: [0, generations], y: [0, highest], xlabel: "generation *i*", ylabel: "expected drift E *D*",
  });
  const points = path => path.map((one, i) => [i, one]);
  const edge = side => points(found.drift.map((one, i) => Math.max(0, one + side * 2 * found.error[i])));
  if (found.error[0] > 0) plot.area([...edge(1), ...edge(-1).reverse()], "first");
  plot.line(points(found.replace), "fourth");
  plot.line(points(found.accumulate), "third");
  plot.level(tolerated, "second");
  plot.line(points(found.drift), "first");
  if (generations <= 60) plot.dots(points(found.drift), "first");
  const label = `Expected drift from generation 0, ${format(found.drift[0])}, to generation ${generations}, ` +
    `${format(found.drift.at(-1))}; tolerated: ${plain(tolerated)}.`;
  return picture(width, plot.lower + 40, label, ...plot.body);
}

function inWords({ bias, noise, alpha, tolerated }, { longRun, least, firstAbove, drift }) {
  const words = [
    `With bias ${plain(bias)}, noise ${plain(noise)} and fresh fraction ${plain(alpha)}`,
    `the drift begins at ${format(drift[0])} and ends at ${format(longRun)}.`,
    firstAbove === Infinity ? `It stays within the tolerated ${plain(tolerated)}.`
      : `Generation ${count(firstAbove)} is the first above the tolerated ${plain(tolerated)}.`,
  ];
  if (least === null)
    words.push(`No fresh fraction keeps it within that: fresh data alone leave ${format(bias + noise)}.`);
  else if (bias + noise > 0) words.push(`A fresh fraction of about ${format(least.alpha)} or more keeps it within that.`);
  return words;
}
