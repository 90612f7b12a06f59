"use strict";
/* In the head, before anything is drawn: the theme that was chosen here before, where the browser keeps it. */
try {
  const kept = localStorage.getItem("codecbench-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch (refused) { /* a page from a file may have no storage */ }
