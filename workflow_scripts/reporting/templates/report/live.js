// Each drawing becomes a live chart as it comes near the screen; where that fails, the drawing stays.
const options = {
  renderer: "svg", actions: false, defaultStyle: false, tooltip: { theme: "custom", disableDefaultStyle: true },
};
async function enliven(place) {
  const source = document.querySelector(`script[data-chart="${place.id}"]`);
  const stage = document.createElement("div");
  stage.style.cssText = "position:absolute;visibility:hidden";
  place.append(stage);
  try {
    await window.vegaEmbed(stage, JSON.parse(source.textContent), options);
    stage.querySelector("svg").setAttribute("aria-hidden", "true");
    place.firstElementChild.remove();
    stage.style.cssText = "";
    stage.removeAttribute("class");
    place.dataset.live = "yes";
  } catch (problem) {
    stage.remove();
    console.warn(problem);
  }
}
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      observer.unobserve(entry.target);
      enliven(entry.target);
    }
  }
}, { rootMargin: "400px" });
document.querySelectorAll(".chart").forEach((place) => observer.observe(place));
