// The data on a line, and what a blurring model makes of them when it trains on its own points.

import { DATA, density, mixtureChi2, totalVariation, twin, widest } from "./mixtures.js";
import { assemble, entry, format, plain, slider } from "./page.js";
import { frame, picture } from "./plot.js";

const REACH = 5, POINTS = 400;

export function densities(place, settings) {
  const alpha = slider("fresh fraction *α*",
    { min: 0, max: 1, step: 0.05, value: settings.alpha, say: one => one === 0 ? "0, replace" : plain(one) });
  const bandwidth = slider("bandwidth *h*", { min: 0, max: 0.6, step: 0.02, value: settings.bandwidth });
  const generation = slider("generation *i*", { min: 0, max: 20, step: 1, value: settings.generation, say: String });
  assemble(place, {
    title: "A blurring model that trains on its own points",
    controls: [alpha, bandwidth, generation],
    legend: [entry("first", "data *p*"), entry("second", "model of generation *i*")],
    draw(width) {
      const model = twin(alpha.value, bandwidth.value, generation.value);
      const words = inWords(alpha.value, bandwidth.value, generation.value, model);
      return { picture: [curves(width, model, words.join(" "))], words };
    },
  });
}

function curves(width, model, label) {
  const plot = frame(width, Math.min(300, 0.4 * width + 110), {
    x: [-REACH, REACH], y: [0, 0.7], xlabel: "position *x*", ylabel: "density",
  });
  const points = law => Array.from({ length: POINTS + 1 }, (_, k) => {
    const x = REACH * (2 * k / POINTS - 1);
    return [x, density(x, law)];
  });
  plot.area([[-REACH, 0], ...points(DATA), [REACH, 0]], "first");
  plot.line(points(DATA), "first");
  plot.line(points(model), "second");
  return picture(width, plot.lower + 40, label, ...plot.body);
}

function inWords(alpha, bandwidth, generation, model) {
  const far = mixtureChi2(model), wide = widest(model), most = 2 * widest(DATA);
  const fresh = alpha === 0 ? "no fresh data" : `fresh fraction ${plain(alpha)}`;
  return [
    `Generation ${generation} with ${fresh} and bandwidth ${plain(bandwidth)}:`,
    `a share of ${format(totalVariation(model))} of its points is in the wrong place (total variation).`,
    far === Infinity
      ? `χ² is infinite: a component has variance ${format(wide)}, and ${format(most)}, twice that of the widest ` +
        "of the data, is too much, however small its weight."
      : `χ² = ${format(far)}${far > 100 ? ", nearly all of it in the gaps, where the data have next to nothing" : ""}. ` +
        `It is finite as long as no component has a variance of ${format(most)}, ` +
        `twice that of the widest of the data; the widest now has ${format(wide)}.`,
  ];
}
