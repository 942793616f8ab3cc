// Mixtures of Gaussians on the line, and the closed-form twin of a kernel density that trains on itself.
// The names in brackets are those of scoredrift; the tests compare each function with its Python.

import { chi2Term } from "./mathematics.js";

// 0.30 N(−2.2, 0.20²) + 0.45 N(0.4, 0.35²) + 0.25 N(2.6, 0.25²) (laws.mixture_of_three).
export const DATA = [
  { weight: 0.30, mean: -2.2, variance: 0.20 ** 2 },
  { weight: 0.45, mean: 0.4, variance: 0.35 ** 2 },
  { weight: 0.25, mean: 2.6, variance: 0.25 ** 2 },
];
const STOP = 0.02; // t0, where generation stops: each training shrinks by e^{−t0/2} and adds 1 − e^{−t0}

// What a kernel density of bandwidth h generates after it was trained on a mixture (KernelFit.limit).
export function trained(law, bandwidth) {
  const kept = Math.exp(-STOP), added = -Math.expm1(-STOP);
  return law.map(({ weight, mean, variance }) => (
    { weight, mean: Math.sqrt(kept) * mean, variance: kept * (variance + bandwidth ** 2) + added }));
}

// p̂^i for q = α p + (1 − α) p̂, generation 0 trained on p alone (recurse_laws): components of age k, trained k
// times, have the weight α (1 − α)^{k−1}, and the oldest, of age i + 1, the rest, (1 − α)^i.
export function twin(alpha, bandwidth, generation) {
  const found = [];
  let law = DATA;
  for (let age = 1; age <= generation + 1; age++) {
    law = trained(law, bandwidth);
    const share = age <= generation ? alpha * (1 - alpha) ** (age - 1) : (1 - alpha) ** generation;
    if (share > 0) found.push(...law.map(part => ({ ...part, weight: share * part.weight })));
  }
  return found;
}

// Log-density of a mixture; relative to its largest term, so that it is right far out, too.
export function logDensity(x, law) {
  const logs = law.map(({ weight, mean, variance }) =>
    Math.log(weight) - 0.5 * ((x - mean) ** 2 / variance + Math.log(2 * Math.PI * variance)));
  const largest = Math.max(...logs);
  return largest + Math.log(logs.reduce((sum, one) => sum + Math.exp(one - largest), 0));
}

export function density(x, law) {
  return Math.exp(logDensity(x, law));
}

// Half of ∫ |p̂ − p|: the share of points that would have to be moved (total_variation_on_nodes).
export const NODES = { first: -25, step: 0.0125, count: 4001 };

export function totalVariation(model, data = DATA) {
  let sum = 0;
  for (let k = 0; k < NODES.count; k++) {
    const x = NODES.first + k * NODES.step;
    sum += Math.abs(density(x, model) - density(x, data));
  }
  return 0.5 * sum * NODES.step;
}

export function widest(law) {
  return Math.max(...law.map(part => part.variance));
}

// χ²(p̂‖p), infinite as soon as a component of p̂ has twice the largest variance of p (mixture_gram). A sum over
// x = 4 sinh(u/4), whose nodes are even where the peaks are and rare far out. It converges exponentially once the
// step is below the distance of the zeros of p in the complex plane, about 0.05.
export function mixtureChi2(model, data = DATA) {
  if (widest(model) >= 2 * widest(data)) return Infinity;
  const log = x => Math.log(chi2Term(logDensity(x, model), logDensity(x, data)));
  let reach = 8;
  while (log(reach) > -60 || log(-reach) > -60) reach *= 1.5;
  const end = Math.asinh(reach / 4) * 4, steps = Math.ceil(2 * end / 0.01);
  let sum = 0;
  for (let k = 0; k <= steps; k++) {
    const u = -end + 2 * end * k / steps, x = 4 * Math.sinh(u / 4);
    sum += chi2Term(logDensity(x, model), logDensity(x, data)) * Math.cosh(u / 4);
  }
  return sum * 2 * end / steps;
}
