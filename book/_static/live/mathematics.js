// The formulas of the live pages, as in the package: the names in brackets are those of scoredrift.
// Every function is of numbers and nothing else; the tests compare each with its Python.

// E D_0, …, E D_N of a pipeline that adds a bias b and noise in every generation (generations.forecast).
//     m ← (1 − α) m + 1,   scatter ← (1 − α)² scatter + 1,   E D = m² ‖b‖² + scatter E‖noise‖²
// With α = 0 nothing is fresh: "replace".
export function drift(bias, noise, alpha, generations) {
  const found = [];
  let mean = 0, scatter = 0;
  for (let i = 0; i <= generations; i++) {
    mean = (1 - alpha) * mean + 1;
    scatter = (1 - alpha) ** 2 * scatter + 1;
    found.push(mean ** 2 * bias + scatter * noise);
  }
  return found;
}

// Where that ends: ‖b‖²/α² + E‖noise‖²/(α (2 − α)).
export function longRun(bias, noise, alpha) {
  if (bias + noise === 0) return 0;
  return alpha === 0 ? Infinity : bias / alpha ** 2 + noise / (alpha * (2 - alpha));
}

// Generations until half of a deviation's amplitude is forgotten; of its square, half as many (half_life).
export function halfLife(alpha) {
  return alpha === 1 ? 0 : Math.LN2 / -Math.log1p(-alpha);
}

// Least fresh fraction that keeps the long run at or below a drift, with its standard error: NaN where the
// drift does not change with α (fresh_fraction_needed). Null where fresh data alone exceed the drift.
export function leastAlpha(bias, noise, tolerated, biasError = 0, noiseError = 0) {
  if (bias + noise > tolerated) return null;
  if (bias + noise === 0) return { alpha: 0, error: 0 };
  const exactly = bias + noise === tolerated; // the drift may be flat there, and a search would stop short of it
  let low = exactly ? 1 : 0.5 * Math.min(Math.sqrt(bias / tolerated) + noise / (2 * tolerated), 1), high = 1;
  while (longRun(bias, noise, low) < tolerated) low /= 2;
  for (let k = 0; k < 100; k++) {
    const middle = (low + high) / 2;
    if (longRun(bias, noise, middle) > tolerated) low = middle;
    else high = middle;
  }
  const alpha = high, rest = alpha * (2 - alpha);
  const steep = 2 * bias / alpha ** 3 + noise * 2 * (1 - alpha) / rest ** 2;
  const error = biasError / alpha ** 2 + noiseError / rest;
  return { alpha, error: error === 0 ? 0 : steep === 0 ? NaN : error / steep };
}

// First generation whose drift is above what is tolerated; ∞ if none is. The drift grows with i, so the
// search halves the interval; E D_i in closed form has 1 − (1 − α)^{i+1} where the loop above has sums.
export function firstAbove(bias, noise, alpha, tolerated) {
  if (longRun(bias, noise, alpha) <= tolerated) return Infinity;
  const reached = i => alpha === 0 ? i + 1 : -Math.expm1((i + 1) * Math.log1p(-alpha)) / alpha;
  const squares = i => alpha === 0 ? i + 1 : -Math.expm1(2 * (i + 1) * Math.log1p(-alpha)) / (alpha * (2 - alpha));
  const above = i => (reached(i) ** 2 * bias + squares(i) * noise) > tolerated;
  let low = -1, high = 0;
  while (!above(high)) {
    if (high > 2 ** 52) return Infinity; // the last rounding decides
    [low, high] = [high, 2 * high + 1];
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (above(middle)) high = middle;
    else low = middle;
  }
  return high;
}

// The same where each generation is trained on all batches so far, of which all but the first have the fresh
// share α (accumulated).
export function accumulatedDrift(bias, noise, alpha, generations) {
  const found = [bias + noise];
  let mean = 0, scatter = 1;
  for (let k = 2; k <= generations + 1; k++) {
    mean += (1 - alpha * (1 + mean)) / k;
    scatter = (1 - alpha / k) ** 2 * scatter + 1 / k ** 2;
    found.push((1 + mean) ** 2 * bias + scatter * noise);
  }
  return found;
}

// Where that ends: ‖b‖²/α²; without fresh data nowhere, but noise alone stays below π²/6 of one generation's.
export function accumulatedLongRun(bias, noise, alpha) {
  if (alpha > 0) return bias / alpha ** 2;
  return bias > 0 ? Infinity : noise * Math.PI ** 2 / 6;
}

// D' = (1 − α)² D + B + 2 (1 − α) c √(D B), in its three terms (discounted).
export function nextDrift(before, forcing, alpha, coherence) {
  const terms = [
    (1 - alpha) ** 2 * before,
    forcing,
    2 * (1 - alpha) * coherence * Math.sqrt(before) * Math.sqrt(forcing),
  ];
  // |(1 − α) δ + w|² with the legs of the triangle: no cancellation at c = −1.
  const along = (1 - alpha) * Math.sqrt(before) + coherence * Math.sqrt(forcing);
  return { terms, sum: along ** 2 + (1 - coherence ** 2) * forcing };
}

// The D that stays where it is (steady_state).
export function steadyState(forcing, alpha, coherence) {
  if (forcing === 0) return 0;
  const keep = (1 - alpha) * coherence, rest = alpha * (2 - alpha);
  const root = Math.sqrt(keep ** 2 + rest);
  return forcing * (keep > 0 ? (keep + root) / rest : 1 / (root - keep)) ** 2;
}

// χ²(N(0, v)‖N(0, s)) = s/√(v (2s − v)) − 1, infinite from v = 2s on.
export function chi2(v, s) {
  return v >= 2 * s ? Infinity : Math.expm1(-0.5 * Math.log1p(-((1 - v / s) ** 2)));
}

// (p̂/p − 1)² p at a point, for p = N(0, s) and p̂ = N(0, v).
export function integrand(x, v, s) {
  const log = variance => -0.5 * (x * x / variance + Math.log(2 * Math.PI * variance));
  return chi2Term(log(v), log(s));
}

// The part of χ² within |x| ≤ reach, by Simpson's rule.
export function chi2Within(reach, v, s) {
  const steps = 4000, width = 2 * reach / steps;
  let sum = 0;
  for (let k = 0; k <= steps; k++)
    sum += integrand(-reach + k * width, v, s) * (k % steps === 0 ? 1 : k % 2 ? 4 : 2);
  return sum * width / 3;
}

// (p̂/p − 1)² p from logarithms, which do not vanish where densities do.
export function chi2Term(model, data) {
  return Math.abs(model - data) < 1
    ? Math.expm1(model - data) ** 2 * Math.exp(data)
    : (Math.exp(model - data / 2) - Math.exp(data / 2)) ** 2;
}
