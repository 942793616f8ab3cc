// A display that is wider than its line is set smaller, down to seven tenths; what is still wider scrolls.
const SMALLEST = 0.7;

function fit() {
  for (const display of document.querySelectorAll('mjx-container[display="true"]')) {
    display.dataset.size ??= parseFloat(display.style.fontSize) || 100;
    display.style.fontSize = display.dataset.size + "%";
    const room = display.clientWidth / display.scrollWidth;
    if (room < 1) display.style.fontSize = display.dataset.size * Math.max(SMALLEST, 0.99 * room) + "%";
  }
  document.documentElement.dataset.fitted = "yes";
}

window.addEventListener("load", () => window.MathJax?.startup.promise.then(fit));
window.addEventListener("resize", fit);

// Paper shows the checks, too.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details.checks").forEach(block => { block.open = true; });
});
