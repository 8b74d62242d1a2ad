"""How a page looks and moves: its style sheet, and the one script that it may run."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --paper: #fbfaf7; --ink: #1d1c1a; --soft: #66625b; --rule: #dcd8cf; --card: #f2efe8; --warn: #9a3412;
  --heat: #1f5fa8; --lack: #b5482a;
  --c0: #1f5fa8; --c1: #b5482a; --c2: #2f7d4f; --c3: #7a4fa3; --c4: #9a7200; --c5: #4d6a73; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #161615; --ink: #eceae4; --soft: #a19c92; --rule: #373530; --card: #201f1d; --warn: #f0a27c;
  --heat: #6fa6e6; --lack: #ee9270;
  --c0: #7fb2ee; --c1: #ee9270; --c2: #7cc79a; --c3: #c2a0e6; --c4: #dcb95a; --c5: #9dbcc6; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 1rem/1.55 "Charter", "Bitstream Charter", "Sitka Text", Cambria, "Source Serif 4", Georgia, serif; }
main { max-width: 74rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 3rem) 5rem; }
header { border-bottom: 1px solid var(--rule); padding-bottom: 1.25rem; }
h1 { font-size: clamp(1.7rem, 4vw, 2.5rem); line-height: 1.15; font-weight: 600; letter-spacing: -.01em;
  text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; line-height: 1.3; font-weight: 600; margin: 3rem 0 .9rem; }
h2 + .about { margin-top: -.5rem; }
.subtitle { color: var(--soft); margin-top: .6rem; max-width: 44rem; text-wrap: pretty; }
.about { color: var(--soft); font-size: .92rem; line-height: 1.5; max-width: 46rem; margin-bottom: .9rem;
  text-wrap: pretty; }
dt, figcaption, .heads, .legend, th, td, .unit, .note, svg text, .choices, .tag, .heat caption {
  font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
.figures { display: grid; gap: 1.5rem 2rem; margin-top: 1.75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(11rem, 42%), 1fr)); }
.figures dt { font-size: .8rem; color: var(--soft); }
.figures .value { font-size: 2rem; line-height: 1.2; font-variant-numeric: lining-nums tabular-nums; }
.figures .unit { font-size: .95rem; color: var(--soft); margin-left: .3em; }
.figures .note { font-size: .8rem; line-height: 1.4; color: var(--soft); }
.row { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: .5rem; }
.gallery { max-width: calc(var(--columns) * 20rem); }
.heads { font-size: .8rem; color: var(--soft); padding-bottom: .4rem; }
figure { margin-bottom: 1.1rem; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; border-radius: 3px; background: var(--card); }
figcaption { font-size: .8rem; color: var(--soft); margin-top: .35rem; font-variant-numeric: tabular-nums; }
.sheet { display: grid; gap: .6rem .5rem; padding: 0;
  grid-template-columns: repeat(auto-fill, minmax(min(var(--least), 45%), 1fr)); }
.sheet figure { margin: 0; }
.sheet figcaption { font-size: .75rem; margin-top: .15rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 60%; font-variant-numeric: tabular-nums; }
th, td { font-size: .9rem; text-align: left; font-weight: 400; padding: .4rem 1.6rem .4rem 0;
  border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { font-size: .8rem; color: var(--soft); vertical-align: bottom; }
.number { text-align: right; white-space: nowrap; }
td:not(.number) { max-width: 34rem; text-wrap: pretty; }
tbody th[scope=row] { position: sticky; left: 0; background: var(--paper); min-width: 7.5rem; }
tr.marked th[scope=row], tr.marked td { background: var(--card); font-weight: 600; }
tr.marked th { box-shadow: -.5rem 0 0 var(--card); }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .8rem;
  color: var(--soft); margin-bottom: .4rem; }
.swatch { display: inline-block; width: 1.3em; height: 3px; border-radius: 2px; margin-right: .5em;
  vertical-align: .25em; background: var(--c); }
tr.group th { color: var(--soft); font-size: .8rem; padding-top: 1.1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
  gap: 0 2.5rem; }
.charts section { min-width: 0; } .charts h2 { font-size: 1.05rem; margin-top: 2.2rem; }
.charts .chart text { font-size: 19px; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
.band { fill: var(--c); opacity: .16; }
.bar { fill: var(--c); opacity: .62; }
.mean { stroke: var(--c); stroke-width: 1.5; stroke-dasharray: 4 3; }
.curve0 { --c: var(--c0); } .curve1 { --c: var(--c1); } .curve2 { --c: var(--c2); }
.curve3 { --c: var(--c3); } .curve4 { --c: var(--c4); } .curve5 { --c: var(--c5); }
.notes p, .notes li { max-width: 44rem; margin-bottom: .8rem; color: var(--soft); text-wrap: pretty; }
.notes ul { padding-left: 1.1rem; } .notes li { margin-bottom: .35rem; }
.warning { border-left: 3px solid var(--warn); padding-left: 1rem; margin-top: 1.75rem; }
.warning h2 { margin: 0 0 .4rem; color: var(--warn); } .warning p, .warning li { color: var(--ink); }
.empty { color: var(--soft); }
.stage { position: relative; --at: 50; max-width: 40rem; border-radius: 3px; overflow: hidden;
  touch-action: pan-y; }
.stage[hidden] { display: none; }
.stage img { display: block; width: 100%; height: auto; }
.stage .over { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at) * 1%) 0 0); }
.stage .edge { position: absolute; inset: 0 auto 0 calc(var(--at) * 1%); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 0 1px rgb(0 0 0 / .35); pointer-events: none; }
.stage .edge::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 2rem; height: 2rem;
  margin: -1rem; border-radius: 50%; background: #fff; color: #1d1c1a; text-align: center;
  font: 1.1rem/2rem system-ui, sans-serif; box-shadow: 0 1px 4px rgb(0 0 0 / .4); }
.stage input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; }
.stage input:focus-visible + .edge::after { outline: 3px solid var(--c0); outline-offset: 2px; }
.tag { position: absolute; top: .5rem; padding: .1rem .5rem; border-radius: 3px; font-size: .75rem;
  color: #fff; background: rgb(0 0 0 / .55); pointer-events: none; }
.tag.first { left: .5rem; } .tag.second { right: .5rem; }
.choices { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .7rem; max-width: 40rem; }
.choices button { font: inherit; font-size: .8rem; padding: .3rem .7rem; border: 1px solid var(--rule);
  border-radius: 3px; background: none; color: var(--ink); cursor: pointer;
  font-variant-numeric: tabular-nums; }
.choices button:hover { border-color: var(--soft); }
.choices button[aria-pressed=true] { background: var(--ink); color: var(--paper);
  border-color: var(--ink); }
.choices button:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
.heat { min-width: 0; border-collapse: separate; border-spacing: 3px; }
.heat caption { caption-side: top; text-align: left; font-size: .8rem; color: var(--soft);
  padding: 0 0 .3rem 3px; }
.heat tbody th[scope=row] { min-width: 0; }
.heat th, .heat td { border: 0; padding: .3rem .5rem; font-size: .8rem; text-align: center;
  vertical-align: middle; min-width: 3.6rem; }
.heat th { color: var(--soft); font-size: .75rem; } .heat tbody th { text-align: right; white-space: nowrap; }
.heat td { border-radius: 3px;
  background: color-mix(in srgb, var(--heat) calc(var(--v) * 62%), var(--card)); }
.heat td.blank { background: none; color: var(--soft); }
.heat td.lack { background: none; color: var(--lack); font-weight: 600;
  box-shadow: inset 0 0 0 2px var(--lack); }
@media (max-width: 40rem) { .row { gap: .25rem; } .chart text, .charts .chart text { font-size: 22px; }
  th, td { padding-right: 1rem; } .heat th, .heat td { padding: .3rem .25rem; min-width: 2.6rem; } }
@media print { body { background: none; font-size: 10pt; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } section { break-inside: auto; } .choices { display: none; } }
"""
"""Colours are named once, for light and for dark; curves, bars and swatches take theirs from ``--c``."""

SCRIPT = """
for (const slider of document.querySelectorAll('.slider')) {
  const stages = [...slider.querySelectorAll('.stage')];
  const buttons = [...slider.querySelectorAll('.choices button')];
  for (const stage of stages) {
    const range = stage.querySelector('input');
    const move = () => {
      for (const other of stages) {
        other.style.setProperty('--at', range.value);
        other.querySelector('input').value = range.value;
      }
    };
    range.addEventListener('input', move);
    move();
  }
  buttons.forEach((button, chosen) => button.addEventListener('click', () => {
    stages.forEach((stage, place) => { stage.hidden = place !== chosen; });
    buttons.forEach((other, place) => other.setAttribute('aria-pressed', String(place === chosen)));
  }));
}
"""
"""Moves the edge of every slider and changes its pictures. Arrow keys move the edge too: it is a range."""
