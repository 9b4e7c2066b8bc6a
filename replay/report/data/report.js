"use strict";
(() => {
  const TARGET = "[data-span],[data-unit]";
  const links = new WeakMap();

  const linksOf = (article) => {
    if (!links.has(article)) {
      const island = article.querySelector('script[type="application/json"]');
      links.set(article, JSON.parse(island.textContent));
    }
    return links.get(article);
  };

  const all = (article, name, value) => article.querySelectorAll(`[data-${name}="${value}"]`);

  const light = (elements, share) => {
    for (const element of elements) {
      element.classList.add("on");
      element.style.setProperty("--on", share);
    }
  };

  const layer = (article, wanted) => {
    for (const drawn of article.querySelectorAll("[data-layer]")) {
      drawn.toggleAttribute("hidden", drawn.dataset.layer !== wanted);
    }
  };

  const clear = (article) => {
    for (const element of article.querySelectorAll(".on")) {
      element.classList.remove("on");
      element.style.removeProperty("--on");
    }
    delete article.dataset.mode;
    layer(article, "all");
  };

  const show = (article, element) => {
    clear(article);
    if (!element) return;
    if (element.dataset.unit === undefined) {
      const span = element.dataset.span;
      article.dataset.mode = "span";
      light(all(article, "span", span), 1);
      for (const [unit, share] of linksOf(article)[span]) light(all(article, "unit", unit), share);
      layer(article, span);
      return;
    }
    const unit = Number(element.dataset.unit);
    article.dataset.mode = "unit";
    light(all(article, "unit", unit), 1);
    linksOf(article).forEach((sources, span) => {
      for (const [own, share] of sources) if (own === unit) light(all(article, "span", span), share);
    });
  };

  const keep = (article, element) => {
    for (const kept of article.querySelectorAll(".kept")) {
      kept.classList.remove("kept");
      if (kept.hasAttribute("aria-pressed")) kept.setAttribute("aria-pressed", "false");
    }
    if (!element) return;
    element.classList.add("kept");
    if (element.hasAttribute("aria-pressed")) element.setAttribute("aria-pressed", "true");
  };

  const found = (event) => {
    const element = event.target.closest?.(TARGET);
    return element ? [element.closest("article"), element] : [null, null];
  };

  const enter = (event) => {
    const [article, element] = found(event);
    if (article && !article.querySelector(".kept")) show(article, element);
  };

  const leave = (event) => {
    const [article] = found(event);
    if (article && !article.querySelector(".kept")) clear(article);
  };

  // Bring the strongest lit source of the prompt into sight; the answer stays where it is.
  const reveal = (article) => {
    if (!matchMedia("(min-width: 60.01rem)").matches) return;
    const lit = [...article.querySelectorAll(".prompt .on")];
    const share = (one) => Number(one.style.getPropertyValue("--on"));
    lit.sort((one, other) => share(other) - share(one));
    lit[0]?.scrollIntoView({block: "nearest"});
  };

  const choose = (article, element) => {
    const again = element.classList.contains("kept");
    keep(article, again ? null : element);
    show(article, again ? null : element);
    if (!again && element.closest(".answer")) reveal(article);
  };

  const step = (article, element, by) => {
    const spans = [...article.querySelectorAll("p .span")];
    const next = spans[spans.indexOf(element) + by];
    if (next) next.focus();
  };

  document.addEventListener("pointerover", enter);
  document.addEventListener("pointerout", leave);
  document.addEventListener("focusin", enter);
  document.addEventListener("focusout", leave);
  document.addEventListener("click", (event) => {
    const [article, element] = found(event);
    if (article) choose(article, element);
  });
  document.addEventListener("keydown", (event) => {
    const [article, element] = found(event);
    if (event.key === "Escape") {
      for (const open of document.querySelectorAll("article[data-mode]")) {
        keep(open, null);
        clear(open);
      }
    } else if (!article) {
      return;
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(article, element);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      step(article, element, event.key === "ArrowRight" ? 1 : -1);
    }
  });

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();
