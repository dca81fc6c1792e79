// The formulas of a page, which arithmatex leaves as TeX in elements of its class.
document.querySelectorAll(".arithmatex").forEach((element) =>
  katex.render(element.textContent, element, { displayMode: element.tagName === "DIV", throwOnError: false })
);
