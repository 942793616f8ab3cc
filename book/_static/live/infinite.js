// How χ² becomes infinite between two Gaussians that look alike: its integrand grows at the edges.

import { chi2, chi2Within, integrand } from "./mathematics.js";
import { assemble, entry, format, plain, slider } from "./page.js";
import { frame, picture } from "./plot.js";

const REACH = 6, POINTS = 400;

export function infinite(place, settings) {
  const ratio = slider("ratio of variances *v*/*s*", { min: 0.5, max: 2.5, step: 0.01, value: settings.ratio });
  assemble(place, {
    title: "Where χ² becomes infinite",
    controls: [ratio],
    legend: [entry("first", "data *p* = N(0, *s*)"), entry("second", "model *p̂* = N(0, *v*)"),
      entry("third", "integrand of χ², (*p̂*/*p* − 1)² *p*")],
    draw(width) {
      const words = inWords(ratio.value);
      return { picture: [curves(width, ratio.value, words.join(" ").replaceAll("*", ""))], words };
    },
  });
}

function curves(width, ratio, label) {
  const points = value => Array.from({ length: POINTS + 1 }, (_, k) => {
    const x = REACH * (2 * k / POINTS - 1);
    return [x, value(x)];
  });
  const normal = variance => x => Math.exp(-0.5 * x * x / variance) / Math.sqrt(2 * Math.PI * variance);
  const each = Math.min(200, 0.24 * width + 100), x = [-REACH, REACH];
  const above = frame(width, each, { x, y: [0, 0.6], ylabel: "density" });
  const xlabel = "position *x*, in units of √*s*";
  const below = frame(width, each, { x, y: [0, 0.4], xlabel, ylabel: "integrand", top: each - 30 });
  above.line(points(normal(1)), "first");
  above.line(points(normal(ratio)), "second");
  const grown = points(at => integrand(at, ratio, 1));
  below.area([[-REACH, 0], ...grown, [REACH, 0]], "third");
  below.line(grown, "third");
  return picture(width, below.lower + 40, label, ...above.body, ...below.body);
}

function inWords(ratio) {
  const value = chi2(ratio, 1), at = `At *v* = ${plain(ratio)} *s*`;
  if (value < Infinity) {
    const same = value === 0 ? ": the laws are the same" : "";
    return [`${at}, χ² = *s*/√(*v*(2*s* − *v*)) − 1 = ${format(value)}${same}. From *v* = 2*s* on it is infinite.`];
  }
  const [near, far] = [REACH, 2 * REACH].map(reach => format(chi2Within(reach, ratio, 1)));
  return [
    `${at}, χ² is infinite.`,
    `Up to |*x*| = ${REACH} √*s* the integrand adds up to ${near}, up to ${2 * REACH} √*s* to ${far}, and so on.`,
  ];
}
