element.addEventListener("click", (event) => {
  const face = event.target.closest("[data-number]");
  if (face) trigger("pick", { number: Number(face.dataset.number) });
  const step = event.target.closest("[data-fraction]");
  if (step) trigger("step", { fraction: Number(step.dataset.fraction) });
  const save = event.target.closest("a.save");
  if (save) save.href = element.querySelector("#face").src;
});
element.addEventListener("keydown", (event) => {
  if (event.key === " " && event.target.closest("a.save")) {
    event.preventDefault();
    event.target.click();
  }
});
