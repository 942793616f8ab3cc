// What the live pages are put together from: elements, controls, numbers in words.

export function element(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function furnish(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Text with symbols in italics: "fresh fraction *α*" has α in <i>.
export function text(marked) {
  return marked.split("*").map((part, k) => k % 2 ? element("i", {}, part) : part).filter(part => part !== "");
}

// Three significant digits; what is not zero is never shown as zero.
export function format(value) {
  if (Number.isNaN(value)) return "not known";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "minus infinite";
  if (value === 0) return "0";
  const [mantissa, exponent] = Math.abs(value).toExponential(2).split("e");
  const sign = value < 0 ? "−" : "";
  if (exponent < -3 || exponent > 5) return `${sign}${mantissa} × 10${raised(exponent)}`;
  const places = Math.max(0, 2 - exponent);
  return sign + grouped(Number(`${mantissa}e${exponent}`).toFixed(places));
}

// What was set, without zeros that say nothing.
export function plain(value) {
  const rounded = Number(value.toPrecision(6)), size = Math.abs(rounded);
  return size >= 1e-4 && size < 1e6 ? grouped(String(rounded)).replace("-", "−") : format(value);
}

function raised(exponent) {
  return [...String(Number(exponent))].map(digit => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join("");
}

// 100 000, with a space that does not break.
export function grouped(digits) {
  return digits.length > 4 && !digits.includes(".") ? digits.replace(/\B(?=(\d{3})+$)/g, "\u00a0") : digits;
}

export function count(value) {
  return value < 1e6 ? grouped(String(value)) : `about ${format(value)}`;
}

let made = 0;

// A slider with its label and its value. `say` puts the value in words.
export function slider(label, { min, max, step, value, say = plain }) {
  const id = `live-${++made}`, shown = element("output", { for: id, "aria-live": "off" });
  const input = element("input", { id, type: "range", min, max, step, value });
  const row = element("div", { class: "live-slider" },
    element("label", { for: id }, ...text(label)), shown, input);
  const places = String(step).split(".")[1]?.length ?? 0;
  const control = {
    row,
    get value() { return Number(input.valueAsNumber.toFixed(places)); },
    watch(listener) { input.addEventListener("input", () => { show(); listener(); }); },
  };
  function show() {
    shown.textContent = say(control.value);
    input.setAttribute("aria-valuetext", say(control.value));
  }
  show();
  return control;
}

// What is wrong with what a reader typed: field, value and remedy.
export class Refusal extends Error {
  constructor(field, value, remedy) {
    super(`${field.name} = ${value}: ${remedy}`);
    this.field = field;
  }
}

// Numbers beyond these would be lost in rounding, or shown as zero.
const SMALLEST = 1e-100, LARGEST = 1e100;

// A field for a number. `name` is what a message calls it, `range` says what it takes.
export function field(label, name, settings) {
  const { value, low, high = LARGEST, open = false, whole = false, empty = null, range } = settings;
  const id = `live-${++made}`;
  const input = element("input", {
    id, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", value,
    "aria-describedby": `${id}-error`,
  });
  const error = element("span", { id: `${id}-error`, class: "live-error" });
  const control = {
    name, input,
    row: element("div", { class: "live-field" }, element("label", { for: id }, ...text(label)), input, error),
    read() {
      const typed = input.value.trim();
      if (typed === "" && empty !== null) return empty;
      if (typed === "") throw new Refusal(control, "nothing", `type ${range}`);
      if (/^[-+]?\d+,\d+$/.test(typed)) throw new Refusal(control, typed, "write the decimals after a point");
      const number = /^[-+−]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(typed) ? Number(typed.replace("−", "-")) : NaN;
      const inside = (open ? number > low : number >= low) && number <= high;
      if (!inside || (whole && !Number.isInteger(number))) throw new Refusal(control, typed, `type ${range}`);
      const lost = number === 0 ? /[1-9]/.test(typed.split(/e/i)[0]) : number < SMALLEST;
      if (lost) throw new Refusal(control, typed, open ? "type 1e-100 or more" : "type 0, or 1e-100 or more");
      return number;
    },
    watch(listener) { input.addEventListener("input", listener); },
    complain(message) {
      error.textContent = message;
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
  return control;
}

// Title, controls, picture and words of a live page, in place of what stands there without JavaScript. `draw`
// gets the width of the picture in pixels, and is called again when that or a control changes.
export function assemble(place, { title, controls, parts = [], legend = [], draw }) {
  const id = `live-${++made}`;
  const picture = element("div", { class: "live-picture" });
  const words = element("p", { class: "live-words", "aria-live": "polite" });
  const form = element("div", { class: "live-controls" }, ...controls.map(control => control.row));
  const box = [
    element("p", { class: "live-title", id }, title), form, picture,
    element("ul", { class: "live-legend", "aria-hidden": "true" }, ...legend), words, ...parts,
  ];
  let width = 0, said = "";
  const redraw = () => {
    if (width < 1) return;
    const found = draw(width);
    picture.replaceChildren(...found.picture);
    if (said === found.words.join(" ")) return; // what stays is not read aloud again
    said = found.words.join(" ");
    words.replaceChildren(...text(said));
  };
  place.setAttribute("role", "group");
  place.setAttribute("aria-labelledby", id);
  place.replaceChildren(...box);
  for (const control of controls) control.watch(redraw);
  width = picture.clientWidth;
  redraw();
  new ResizeObserver(() => {
    const now = picture.clientWidth; // none where it is hidden
    if (now < 1 || Math.abs(now - width) < 1) return;
    width = now;
    redraw();
  }).observe(picture);
}

// An entry of a legend: a line as it is drawn, and what it is.
export function entry(style, marked) {
  const sample = svg("svg", { width: 28, height: 10, viewBox: "0 0 28 10" },
    svg("path", { d: "M1 5H27", class: `line ${style}` }));
  return element("li", {}, sample, " ", ...text(marked));
}
