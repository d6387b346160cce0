// Looks from time to time whether the folder has changed, and says so.

import {at} from "viewer/dom";
import {version} from "viewer/source";

const EVERY = 2000; // milliseconds

/**
 * Call `changed` whenever what the pages show of a run differs from before; `run` says which run that is now.
 * `first` is the version of the folder itself with which the page came.
 */
export function follow(first, run, changed) {
  if (!version) return;
  const last = new Map([["", first]]); // version of each run that was looked at
  const look = async () => {
    try {
      const now = run(), current = await version(now);
      at("live").textContent = "live";
      at("live").className = "on";
      if (last.get(now) !== current) await changed();
      last.set(now, current);
    } catch {
      at("live").textContent = "the server is gone";
      at("live").className = "off";
    }
    setTimeout(look, EVERY);
  };
  look();
}
