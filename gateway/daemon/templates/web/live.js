// Shows the last values as they come. The page is whole without it: then it is loaded again by hand.
"use strict";
(() => {
  const note = document.getElementById("live");
  if (!note || !("EventSource" in window)) return;
  const show = (name, element, text) => {
    for (const place of document.querySelectorAll("[data-" + name + "]")) {
      if (place.getAttribute("data-" + name) === element && place.textContent !== text) place.textContent = text;
    }
  };
  const source = new EventSource("/now/live");
  source.addEventListener("values", (event) => {
    for (const one of JSON.parse(event.data)) {
      show("value", one.element, one.value);
      show("age", one.element, one.age);
    }
    if (note.textContent !== note.dataset.on) note.textContent = note.dataset.on;
  });
  const end = () => {
    source.close();
    note.textContent = note.dataset.over;
  };
  source.addEventListener("over", end);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) end();
  });
})();
