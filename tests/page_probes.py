"""What a browser is asked about a page: each finds the places where a reader would stumble."""

import re

# Text of the article without code, formulas and scripts.
PROSE = """() => {
  const article = document.querySelector('article').cloneNode(true);
  article.querySelectorAll('pre, code, mjx-container, script, style').forEach(e => e.remove());
  return article.textContent;
}"""
RAW = re.compile(r"\$[^\d\s]|\\[a-zA-Z]{2,}|\\[()\[\]]|\{[\w:-]+\}|:::|\]\(|\bNone\b|<\w+>")
UNTYPESET = """() => [...document.querySelectorAll('article .math')]
  .filter(e => !e.querySelector('mjx-container')).map(e => e.textContent)"""
WITHOUT_TEXT = (
    "() => [...document.images].filter(i => !(i.alt || '').trim() || !i.naturalWidth).map(i => i.src)"
)
TOO_WIDE = """() => {
  const scrolls = e => e && e !== document.body &&
    (['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  return [...document.querySelectorAll('article *, .prev-next-area *')].filter(e =>
    !e.closest('mjx-assistive-mml') && !scrolls(e.parentElement) &&
    e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(e => e.tagName + '.' + e.className);
}"""

# Elements of the article whose ground is lighter than half-way to white.
PALE = """() => [...document.querySelectorAll('article *')].filter(e => {
  const [r, g, b, a] = (getComputedStyle(e).backgroundColor.match(/[\\d.]+/g) || []).map(Number);
  return (a ?? 1) > 0.5 && r + g + b > 380;
}).map(e => e.tagName + '.' + e.className)"""

# Formulas that are cut, or have to be scrolled, and code that has.
CUT_FORMULAS = """() => [...document.querySelectorAll('article mjx-container')]
  .filter(e => e.hasAttribute('display')
    ? e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().width < 1
    : e.firstElementChild.getBoundingClientRect().width >
      1 + (e.closest('p, li, dd, td, figcaption')?.clientWidth ?? 1e4))
  .map(e => e.parentElement.id || e.closest('p, li, dd, figcaption')?.textContent.slice(0, 80))"""
CUT_CODE = """() => [...document.querySelectorAll('article div.highlight pre, article .cell_output pre')]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 200))"""

# Opens what is folded, and waits until it is fitted.
OPENED = """async () => {
  document.querySelectorAll('article details').forEach(e => { e.open = true; });
  document.querySelectorAll('article .toggle-hidden .toggle-button').forEach(e => e.click());
  for (let k = 0; k < 4; k++) await new Promise(requestAnimationFrame);
}"""

# Boxes of code, tables and moving pictures that go on at the right without fading there.
WITHOUT_HINT = """() => [...document.querySelectorAll('article pre, article table, article .output')]
  .filter(e => e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).maskImage === 'none')
  .map(e => e.textContent.slice(0, 80))"""

# On paper: pictures that move or are turned dark, and heads that may stand alone at the foot of a sheet.
NOT_FOR_PAPER = """() => [...document.querySelectorAll('article *')].filter(e => {
  const style = getComputedStyle(e);
  return e.getClientRects().length && (style.filter.includes('invert') || e.matches('img[src*="/webp"]') ||
    e.matches('summary, dt, .rubric, .claim-head') && style.breakAfter !== 'avoid' ||
    e.matches('div.math') && style.breakBefore !== 'avoid' ||
    e.matches('.cell_input, figure, div.math, .sd-card') && style.breakInside !== 'avoid');
}).map(e => e.tagName + '.' + e.className)"""

# The limits of an integral stand out above the box of its formula.
WITHOUT_ROOM = """() => [...document.querySelectorAll('article mjx-container[display="true"]')]
  .filter(e => e.clientHeight && parseFloat(getComputedStyle(e).paddingTop) < 3).length"""

# Lines that begin with what belongs to the formula at the end of the line before, or with half a number.
LONELY = r"""() => {
  const place = (text, from, to) => {
    const range = document.createRange();
    range.setStart(text, from);
    range.setEnd(text, to);
    return range.getBoundingClientRect();
  };
  const found = [];
  for (const formula of document.querySelectorAll('article span.math')) {
    const after = formula.nextSibling, end = formula.getClientRects();
    if (after?.nodeType !== 3 || !end.length || !/^[.,;:!?)\]%]/.test(after.data)) continue;
    const mark = place(after, 0, 1);
    if (mark.height && mark.left < end[end.length - 1].left) found.push(after.data.slice(0, 20));
  }
  const texts = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.parentElement.closest('pre, code, script, mjx-container')) continue;
    for (const { index } of text.data.matchAll(/\d[ \u00a0]\d{3}\b/g)) {
      const [one, two] = [place(text, index, index + 1), place(text, index + 2, index + 3)];
      if (two.height && two.left < one.left) found.push(text.data.slice(index, index + 9));
    }
  }
  return found;
}"""
