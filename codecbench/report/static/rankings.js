"use strict";
/* Buttons of the tables that open the image browser at an image and two codecs. */
codecbench.section("rankings", (root) => {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button.jump");
    if (button) codecbench.jump("look", JSON.parse(button.dataset.jump));
  });
});
