// A formula that is wider than its line is set smaller. What would get too small is broken after a sign
// if it stands in a line of text, and scrolls if it is displayed.
const root = document.documentElement;
const SMALLEST = { shown: 0.7, inline: 0.85 };
const LINE = "p, li, dd, td, th, figcaption, h1, h2, h3, h4";
const SIGN = /mjx-c(3D|3C|2B|2212|2264|2265)\b/; // = < + − ≤ ≥

// Share of a formula that has room in its line.
function room(formula) {
  if (formula.hasAttribute("display")) return formula.clientWidth / formula.scrollWidth;
  const line = formula.closest(LINE), width = formula.firstElementChild.getBoundingClientRect().width;
  if (!line || !width) return 1; // one in a closed solution has no width
  return (line.clientWidth - (formula.closest(".keep") ? 8 : 0)) / width;
}

function fit() {
  const formulas = [...document.querySelectorAll("mjx-container")];
  for (const formula of formulas) {
    formula.dataset.size ??= parseFloat(formula.style.fontSize) || 100;
    formula.style.fontSize = formula.dataset.size + "%";
    formula.classList.remove("long");
  }
  const rooms = formulas.map(room); // all are measured before any is changed: one layout, not thousands
  formulas.forEach((formula, k) => {
    if (!(rooms[k] < 1)) return;
    const share = 0.99 * rooms[k], shown = formula.hasAttribute("display");
    if (!shown && share < SMALLEST.inline) divide(formula);
    else formula.style.fontSize = formula.dataset.size * Math.max(SMALLEST.shown, share) + "%";
  });
  document.querySelectorAll(SCROLL).forEach(fade);
  root.dataset.fitted = "yes";
}

function divide(formula) {
  formula.classList.add("long");
  if (formula.querySelector("wbr")) return;
  for (const part of formula.firstElementChild.querySelectorAll(":scope > mjx-mo[space]"))
    if (SIGN.test(part.firstElementChild?.className)) part.after(document.createElement("wbr"));
}

// What goes on beyond the right edge fades there, until it is reached.
const SCROLL = ".cell_output .output, div.highlight pre, .cell_output pre, article table";

function fade(box) {
  box.classList?.toggle("more", box.scrollWidth - box.scrollLeft > box.clientWidth + 2);
}

document.addEventListener("scroll", event => { if (event.target.matches?.(SCROLL)) fade(event.target); }, true);

// No line begins with the second half of a number, as in 100 000.
function group() {
  const texts = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.parentElement.closest("pre, code, script, mjx-container"))
      text.data = text.data.replace(/(\d) (?=\d{3}\b|%)/g, "$1\u00a0");
  }
}

// No line begins with the full stop after a formula, or ends with the bracket before it.
function keep() {
  for (const formula of document.querySelectorAll("article span.math")) {
    const [before, after] = [formula.previousSibling, formula.nextSibling].map(e => e?.nodeType === 3 ? e : null);
    const opens = before?.data.match(/[(\[“‘]+$/)?.[0] ?? "";
    const closes = after?.data.match(/^[.,;:!?)\]”’%-]+/)?.[0] ?? "";
    if (!opens && !closes) continue;
    const box = document.createElement("span");
    box.className = "keep";
    formula.replaceWith(box);
    box.append(opens, formula, closes);
    if (opens) before.data = before.data.slice(0, -opens.length);
    if (closes) after.data = after.data.slice(closes.length);
  }
}

// A chapter has its number on paper, too.
function number() {
  const digits = document.querySelector("article h1 .section-number");
  if (digits) document.querySelector("#jb-print-docs-body h1")?.prepend(digits.cloneNode(true));
}

// Formulas are fitted again when the page gets narrower, or a solution is opened.
window.addEventListener("load", async () => {
  const article = document.querySelector("article");
  if (!article) return root.dataset.fitted = "yes"; // the page of the search
  await window.MathJax?.startup.promise;
  group();
  keep();
  number();
  fit();
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(article);
});

// Paper is white, and shows the checks.
let theme;

window.addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  root.dataset.theme = "light";
  document.querySelectorAll("details.checks").forEach(block => { block.open = true; });
});
window.addEventListener("afterprint", () => { root.dataset.theme = theme; });
