// What the elements of all pages are made with; build.mjs puts it into every file.
export { Fragment, h } from "preact";
