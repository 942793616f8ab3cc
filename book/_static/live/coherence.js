// One generation as a sum of two arrows: what is left of the old deviation, and the new error.

import { nextDrift, steadyState } from "./mathematics.js";
import { assemble, element, entry, format, plain, slider, svg, text } from "./page.js";
import { picture, symbols } from "./plot.js";

export function coherence(place, settings) {
  const alpha = slider("fresh fraction *α*", { min: 0.05, max: 1, step: 0.05, value: settings.alpha });
  const cosine = slider("coherence *c*", { min: -1, max: 1, step: 0.05, value: settings.coherence });
  const before = slider("drift *D* so far", { min: 0, max: 2, step: 0.05, value: settings.before });
  const forcing = slider("size *B* of the new error", { min: 0.05, max: 1, step: 0.05, value: settings.forcing });
  const sum = element("p", { class: "live-sum" });
  assemble(place, {
    title: "An old deviation and a new error",
    controls: [alpha, cosine, before, forcing],
    legend: [
      entry("first thin", "*δ*, the old deviation"), entry("first arrow", "(1 − *α*)*δ*, what is left of it"),
      entry("second arrow", "*w*, the new error"), entry("third arrow", "their sum, the new deviation"),
      entry("fourth", "length in the steady state"),
    ],
    parts: [sum],
    draw(width) {
      const now = { alpha: alpha.value, c: cosine.value, before: before.value, forcing: forcing.value };
      const next = nextDrift(now.before, now.forcing, now.alpha, now.c);
      const steady = steadyState(now.forcing, now.alpha, now.c);
      sum.replaceChildren(...equation(next));
      const words = inWords(now, next, steady);
      return { picture: [arrows(width, now, steady, words.join(" "))], words };
    },
  });
}

function equation({ terms: [old, fresh, mixed], sum }) {
  const term = (sign, value, name) => element("span", { class: "live-term" },
    element("b", {}, `${sign}${format(value)}`), element("small", {}, ...text(name)));
  const last = "2(1 − *α*)*c*√(*DB*)";
  return [
    term("", sum, "new *D*"), term("= ", old, "(1 − *α*)²*D*"), term("+ ", fresh, "*B*"),
    mixed < 0 ? term("− ", -mixed, last.replace("*c*", "|*c*|")) : term("+ ", mixed, last),
  ];
}

// Lengths are square roots of drifts, on one scale in both directions.
function arrows(width, { alpha, c, before, forcing }, steady, label) {
  const left = -1.15, right = 2.45, scale = width / (right - left), ground = 1.3 * scale;
  const at = (x, y) => [(x - left) * scale, ground - y * scale];
  const old = (1 - alpha) * Math.sqrt(before), size = Math.sqrt(forcing);
  const tip = [old + c * size, Math.sqrt(1 - c * c) * size];
  const radius = Math.sqrt(steady), far = radius * scale;
  const parts = [svg("path", { class: "grid", d: `M${at(left, 0)}L${at(right, 0)}` })];
  if (radius < 4)
    parts.push(svg("path", { class: "line fourth", d: `M${at(radius, 0)}A${far} ${far} 0 0 0 ${at(-radius, 0)}` }));
  if (before > 0) {
    const [x, y] = at(Math.sqrt(before), 0);
    parts.push(svg("path", { class: "line first thin", d: `M${at(0, 0)[0]} ${y + 30}H${x}` }));
    parts.push(svg("text", { x: x + 6, y: y + 34 }, ...symbols("*δ*")));
  }
  parts.push(
    arrow(at(0, 0), at(...tip), "third", "", 18), // the widest, below the others: seen where all lie on one line
    arrow(at(0, 0), at(old, 0), "first", "(1 − *α*)*δ*"), arrow(at(old, 0), at(...tip), "second", "*w*"),
    svg("circle", { class: "origin", cx: at(0, 0)[0], cy: ground, r: 3 }),
  );
  return picture(width, ground + 40, label, ...parts);
}

// An arrow with its name on its right side, as seen by who walks along it.
function arrow([x, y], [toX, toY], style, name, headed = 12) {
  const length = Math.hypot(toX - x, toY - y), drawn = svg("g");
  if (length < 1) return drawn;
  const head = Math.min(headed, length / 2), [ux, uy] = [(toX - x) / length, (toY - y) / length];
  const [bx, by] = [toX - head * ux, toY - head * uy];
  const wing = side => `${bx - side * 0.42 * head * uy} ${by + side * 0.42 * head * ux}`;
  drawn.append(svg("path", { class: `line arrow ${style}`, d: `M${x} ${y}L${bx} ${by}` }),
    svg("path", { class: `head ${style}`, d: `M${wing(1)}L${toX} ${toY}L${wing(-1)}Z` }));
  const place = { x: (x + toX) / 2 - 14 * uy, y: (y + toY) / 2 + 14 * ux, dy: "0.35em", "text-anchor": "middle" };
  if (name && length > 20) drawn.append(svg("text", place, ...symbols(name)));
  return drawn;
}

function inWords({ alpha, c, before, forcing }, { sum }, steady) {
  const still = Math.abs(sum - before) <= 1e-12 * before;
  const moves = still ? "stays at" : `${sum > before ? "grows" : "falls"} from ${plain(before)} to`;
  return [
    `With fresh fraction ${plain(alpha)}, coherence ${plain(c)} and a new error of size ${plain(forcing)}`,
    `the drift ${moves} ${format(sum)}.`,
    `A pipeline that goes on like this ends at ${format(steady)}.`,
  ];
}
