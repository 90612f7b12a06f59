"use strict";
/* Buttons of the tables that open the image browser at an image and two codecs. */
codecbench.section("rankings", (root) => {
  for (const button of root.querySelectorAll("button.jump")) {
    button.disabled = !codecbench.canJump("look");
    button.addEventListener("click", () => codecbench.jump("look", JSON.parse(button.dataset.jump)));
  }
});
