// Puts the live pages in the place of what stands there without JavaScript.

import { calculator } from "./calculator.js";
import { coherence } from "./coherence.js";
import { densities } from "./densities.js";
import { infinite } from "./infinite.js";

const KINDS = { calculator, coherence, densities, infinite };

for (const place of document.querySelectorAll("[data-live]")) {
  KINDS[place.dataset.live](place, JSON.parse(place.dataset.settings));
  place.dataset.ready = "yes";
}
