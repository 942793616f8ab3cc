// A formula that is wider than its line is set smaller, down to seven tenths; what is still wider scrolls.
const SMALLEST = 0.7;
const BLOCK = "p, li, dd, td, th, figcaption, h1, h2, h3, h4";

// Share of the formula that has room in its line.
function room(formula) {
  if (formula.hasAttribute("display")) return formula.clientWidth / formula.scrollWidth;
  const line = formula.closest(BLOCK), mark = formula.closest(".keep") ? 8 : 0;
  return line ? (line.clientWidth - mark) / formula.firstElementChild.getBoundingClientRect().width : 1;
}

function fit() {
  for (const formula of document.querySelectorAll("mjx-container")) {
    formula.dataset.size ??= parseFloat(formula.style.fontSize) || 100;
    formula.style.fontSize = formula.dataset.size + "%";
    const share = room(formula);
    if (share < 1) formula.style.fontSize = formula.dataset.size * Math.max(SMALLEST, 0.99 * share) + "%";
    formula.classList.toggle("wide", !formula.hasAttribute("display") && room(formula) < 1);
  }
  document.documentElement.dataset.fitted = "yes";
}

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
  for (const formula of document.querySelectorAll("article span.math, article figcaption span.math")) {
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

window.addEventListener("load", () => window.MathJax?.startup.promise.then(() => { group(); keep(); fit(); }));
window.addEventListener("resize", fit);

// Paper shows the checks, too, and is white.
const root = document.documentElement;
let theme;
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details.checks").forEach(block => { block.open = true; });
  theme = root.dataset.theme;
  root.dataset.theme = "light";
});
window.addEventListener("afterprint", () => { root.dataset.theme = theme; });
