// A picture on two axes: frame, ticks, curves. Colours, dashes and letters are those of live.css.

import { format, grouped, svg, text } from "./page.js";

const MARGIN = { left: 56, right: 12, top: 26, bottom: 40 };

export function frame(width, height, { x, y, xlabel, ylabel, top = 0 }) {
  const left = MARGIN.left, right = width - MARGIN.right;
  const upper = top + MARGIN.top, lower = top + height - MARGIN.bottom;
  const across = value => left + (value - x[0]) / (x[1] - x[0]) * (right - left);
  const up = value => lower - (value - y[0]) / (y[1] - y[0]) * (lower - upper);
  const id = `live-clip-${++made}`;
  const marks = svg("g", { "clip-path": `url(#${id})` });
  const axes = svg("g", { class: "axes" });
  const centred = { "text-anchor": "middle" };
  const letters = { x: left - 6, "text-anchor": "end", dy: "0.35em" };
  for (const tick of ticks(y, (lower - upper) / 45)) {
    axes.append(svg("path", { class: "grid", d: `M${left} ${up(tick)}H${right}` }),
      svg("text", { ...letters, y: up(tick) }, short(tick)));
  }
  for (const tick of ticks(x, (right - left) / 70)) {
    axes.append(svg("path", { class: "grid", d: `M${across(tick)} ${upper}V${lower}` }));
    if (xlabel) axes.append(svg("text", { ...centred, x: across(tick), y: lower + 16 }, short(tick)));
  }
  axes.append(svg("path", { class: "edge", d: `M${left} ${upper}V${lower}H${right}` }));
  if (xlabel) axes.append(svg("text", { ...centred, x: (left + right) / 2, y: lower + 34 }, ...symbols(xlabel)));
  axes.append(svg("text", { x: 2, y: upper - 12 }, ...symbols(ylabel)));
  const room = { x: left, y: upper - 2, width: right - left, height: lower - upper + 3 };
  const clip = svg("clipPath", { id }, svg("rect", room));
  const body = [svg("defs", {}, clip), axes, marks];
  return {
    across, up, marks, body, left, right, upper, lower,
    line(points, style) {
      marks.append(svg("path", { class: `line ${style}`, d: path(points.map(([a, b]) => [across(a), up(b)])) }));
    },
    area(points, style) {
      marks.append(svg("path", { class: `area ${style}`, d: path(points.map(([a, b]) => [across(a), up(b)])) + "Z" }));
    },
    level(value, style) {
      marks.append(svg("path", { class: `line ${style}`, d: `M${left} ${up(value)}H${right}` }));
    },
    dots(points, style) {
      for (const [a, b] of points)
        marks.append(svg("circle", { class: `dot ${style}`, cx: across(a), cy: up(b), r: 2.5 }));
    },
  };
}

let made = 0;

// The picture for those who see it, and its label for those who do not.
export function picture(width, height, label, ...parts) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...parts);
}

function path(points) {
  // What leaves the frame by far is cut: renderers do not take every number.
  const cut = value => Math.max(-1e4, Math.min(1e4, value)).toFixed(2);
  return "M" + points.map(([a, b]) => `${cut(a)} ${cut(b)}`).join("L");
}

// Round numbers within the ends, at most about `many`.
export function ticks([low, high], many) {
  const raw = (high - low) / Math.max(many, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(one => one * power >= raw * (1 - 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

// A tick has as many digits as it needs.
function short(tick) {
  const rounded = Number(tick.toPrecision(6));
  if (rounded === 0) return "0";
  const plain = Math.abs(rounded) >= 1e-4 && Math.abs(rounded) < 1e5;
  return plain ? grouped(String(rounded)).replace("-", "−") : format(rounded).replace(/\.?0+ ×/, " ×");
}

// Letters of SVG with symbols in italics.
export function symbols(marked) {
  const italic = { "font-style": "italic" };
  return text(marked).map(part => typeof part === "string" ? part : svg("tspan", italic, part.textContent));
}
