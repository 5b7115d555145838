// The picture of one source: a row for all together, one for each provider.
//
// What is drawn later lies on top, so a column of the picture shows the worst
// that is in it; and what needs attention is never narrower than can be seen.
// A gap between two pieces clears the upper part of the row: where a column
// holds both, a low bar is left, which says: not all of it.

import { html, length, name, range, stamp, svg, swatch } from './dom.js';
import { now } from './data.js';

// States from bottom to top, with their least width.
const LAYERS = [['ready', 1], ['unlocked', 1], ['registered', 1], ['missing', 1.5], ['late', 3], ['locked', 3], ['failed', 3]];

const MEANING = [
  ['ready', 'ready'], ['unlocked', 'unlocked by this provider'], ['locked', 'locked: being changed'], ['failed', 'failed'],
  ['late', 'late'], ['registered', 'registered, not supplied yet'], ['track', 'nothing'],
];

// As many providers as the query gives.
const MOST = 200;

const MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [1 / 60, 1 / 12, 1 / 4, 1 / 2, 1, 2, 5, 10, 15, 30].map((step) => step * MINUTE)
  .concat([1, 2, 3, 6, 12].map((step) => step * HOUR), [1, 2, 7, 14].map((step) => step * DAY));

const SPANS = [['6 h', 6 * HOUR], ['day', DAY], ['week', 7 * DAY], ['month', 30 * DAY], ['year', 365 * DAY], ['5 y', 1826 * DAY]];

// Where the axis has marks: [time, label], some 90 pixels apart.
function ticks(start, end, width) {
  const least = (end - start) / Math.max(1, Math.floor(width / 90));
  const step = STEPS.find((each) => each >= least);
  const marks = [];
  if (step !== undefined) {
    // Weeks begin on Monday; 5 January 1970 was one.
    const origin = step >= 7 * DAY ? 4 * DAY : 0;
    for (let time = Math.ceil((start - origin) / step) * step + origin; time <= end; time += step) {
      const [day, clock] = stamp(time).split(' ');
      marks.push([time, step < DAY && clock !== '00:00' ? clock : day]);
    }
    return marks;
  }
  const months = [1, 3, 6, 12, 24, 60, 120, 600, 1200, 12000].find((each) => each * 30.4 * DAY >= least) ?? 120000;
  const first = new Date(start);
  for (let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months; ; month += months) {
    const time = new Date(0).setUTCFullYear(Math.floor(month / 12), ((month % 12) + 12) % 12, 1);
    if (!(time <= end)) return marks;
    if (time >= start) marks.push([time, months % 12 === 0 ? stamp(time).split('-01-01')[0] : stamp(time).split('-01 ')[0]]);
  }
}

function path(pieces, least, place, top, height) {
  let d = '';
  let done = -Infinity;
  for (const [start, end] of pieces) {
    const [a, b] = [place(start), place(end)];
    if (b < -9 || a > place.width + 9) continue;
    const left = Math.max(a, -9, done);
    const right = Math.max(Math.min(b, place.width + 9), a + least);
    if (right <= left) continue;
    d += `M${left.toFixed(2)} ${top}H${right.toFixed(2)}V${top + height}H${left.toFixed(2)}Z`;
    done = right;
  }
  return d;
}

function bar(states, place, height, marks) {
  const picture = svg('svg', { class: 'bar', width: place.width, height, 'aria-hidden': 'true' },
    svg('rect', { class: 'track', width: place.width, height }));
  for (const [state, least] of LAYERS) {
    if (states[state] === undefined) continue;
    const cut = state === 'missing' ? Math.round(height * 0.6) : height;
    const d = path(states[state], least, place, 0, cut);
    if (d) picture.append(svg('path', { class: state === 'missing' ? 'track' : state, d }));
  }
  for (const [time] of marks) {
    picture.append(svg('line', { class: 'grid', x1: place(time), x2: place(time), y1: 0, y2: height }));
  }
  return picture;
}

// What a row holds, in words, for those who do not see it.
function words(states, shown) {
  const whole = shown.end - shown.start;
  const parts = [];
  for (const [state] of [...LAYERS].reverse()) {
    const inside = (states[state] ?? []).filter(([start, end]) => start < shown.end && end > shown.start);
    if (state === 'missing' || inside.length === 0) continue;
    const sum = inside.reduce((total, [start, end]) => total + Math.min(end, shown.end) - Math.max(start, shown.start), 0);
    const share = 100 * sum / whole;
    const from = inside.slice(0, 3).map(([start, end]) => `${stamp(start)} to ${stamp(end)}`).join(', ');
    const more = inside.length > 3 ? ` and ${inside.length - 3} more` : '';
    parts.push(`${state} ${share > 0 && share < 1 ? 'less than 1' : Math.floor(share)} %: ${from}${more}`);
  }
  return parts.join('; ') || 'nothing in this range';
}

function stateAt(states, time) {
  for (const [state] of [...LAYERS].reverse()) {
    const piece = state !== 'missing' && states[state]?.find(([start, end]) => start <= time && time < end);
    if (piece) return [state, piece];
  }
  return null;
}

// The picture.  move(shown) is called with the range that the reader wants to
// see; all() where everything is wanted.
export function makeTimeline({ move, all }) {
  const rows = html('div', { class: 'rows' });
  const hint = html('p', { class: 'note', id: 'timeline-keys' },
    'Drag over a part to zoom to it. With the keyboard: ', html('kbd', {}, '←'), ' ', html('kbd', {}, '→'), ' move, ',
    html('kbd', {}, '+'), ' ', html('kbd', {}, '−'), ' zoom, ', html('kbd', {}, 'Home'), ' shows all.');
  const readout = html('p', { class: 'readout', hidden: true });
  const brush = html('div', { class: 'brush', hidden: true });
  const picture = html('div', {
    class: 'picture', tabindex: 0, role: 'group', 'aria-label': 'Timeline',
    'aria-describedby': 'timeline-keys', 'aria-keyshortcuts': 'ArrowLeft ArrowRight + - Home',
  }, rows, brush);
  let timeline = null;
  let shown = null;
  let rowOf = new Map();

  const left = () => rows.querySelector('.bar')?.getBoundingClientRect().left ?? 0;
  const width = () => Math.max(120, rows.querySelector('.space')?.clientWidth ?? rows.clientWidth);
  const timeAt = (x) => shown.start + (x - left()) / width() * (shown.end - shown.start);

  function draw() {
    if (timeline === null || !picture.isConnected) return;
    const place = (time) => (time - shown.start) / (shown.end - shown.start) * place.width;
    const space = html('div', { class: 'space' });
    rows.replaceChildren(html('div', { class: 'row' }, html('span', { class: 'label' }), space));
    place.width = width();
    const marks = ticks(shown.start, shown.end, place.width);
    const time = now();
    const isNowShown = time > shown.start && time < shown.end;

    const axis = svg('svg', { class: 'axis', width: place.width, height: 20, 'aria-hidden': 'true' });
    for (const [at, label] of marks) {
      const x = place(at);
      if (isNowShown && Math.abs(x - place(time)) < 55) continue;
      if (x < 32 || x > place.width - 32) continue;
      axis.append(svg('text', { x, y: 14, class: label.includes('-') ? 'day' : null, 'text-anchor': 'middle' }, label));
    }
    if (isNowShown) {
      const x = Math.min(Math.max(place(time), 14), place.width - 14);
      axis.append(svg('text', { x, y: 14, class: 'now', 'text-anchor': 'middle' }, 'now'));
    }
    space.append(axis);

    rowOf = new Map();
    const add = (label, states, height, kind) => {
      const drawn = bar(states, place, height, marks);
      if (isNowShown) drawn.append(svg('line', { class: 'now', x1: place(time), x2: place(time), y1: 0, y2: height }));
      const row = html('div', { class: `row ${kind}` },
        html('div', { class: 'label' }, label),
        html('div', { class: 'space' }, drawn),
        html('span', { class: 'hidden' }, words(states, shown)));
      rowOf.set(row, [label.textContent, states]);
      rows.append(row);
    };
    add(html('span', {}, 'Together'), timeline.together, 26, 'together');
    for (const provider of timeline.providers) {
      add(html('span', {}, name(provider.name), provider.revoked ? html('small', {}, ' revoked') : null), provider.states, 18, 'provider');
    }
    if (timeline.providers.length === MOST) rows.append(html('p', { class: 'note' }, `The first ${MOST} providers.`));
  }

  function tell(event) {
    const row = event.target.closest?.('.row');
    if (!rowOf.has(row) || event.clientX < left()) return;
    const [label, states] = rowOf.get(row);
    const time = timeAt(event.clientX);
    const hit = stateAt(states, time);
    hint.hidden = true;
    readout.hidden = false;
    readout.replaceChildren(...(hit === null
      ? [swatch('track'), ` ${label}: nothing at ${stamp(Math.floor(time / MINUTE) * MINUTE)}`]
      : [swatch(hit[0]), ` ${label}: ${hit[0]} `, range(...hit[1]), ` (${length(hit[1][1] - hit[1][0])})`]));
  }

  // Dragging over a part of the picture zooms to it.
  let origin = null;
  picture.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || timeline === null || event.clientX < left()) return;
    origin = event.clientX;
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener('pointermove', (event) => {
    if (origin === null) return tell(event);
    const box = picture.getBoundingClientRect();
    const [a, b] = [Math.min(origin, event.clientX), Math.max(origin, event.clientX)];
    brush.hidden = b - a < 5;
    brush.style.left = `${Math.max(a, left()) - box.left}px`;
    brush.style.width = `${Math.min(b, left() + width()) - Math.max(a, left())}px`;
  });
  const drop = (event) => {
    if (origin === null) return;
    const [a, b] = [Math.min(origin, event.clientX), Math.max(origin, event.clientX)];
    origin = null;
    brush.hidden = true;
    if (event.type === 'pointerup' && b - a >= 5) {
      move({ start: Math.max(timeAt(a), shown.start), end: Math.min(timeAt(b), shown.end) });
    }
  };
  picture.addEventListener('pointerup', drop);
  picture.addEventListener('pointercancel', drop);
  picture.addEventListener('pointerleave', () => { hint.hidden = false; readout.hidden = true; });
  picture.addEventListener('wheel', (event) => {
    if (!event.ctrlKey || timeline === null) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.5 : 1 / 1.5, timeAt(event.clientX));
  }, { passive: false });

  function pan(share) {
    const by = (shown.end - shown.start) * share;
    move({ start: shown.start + by, end: shown.end + by });
  }

  function zoom(factor, around = (shown.start + shown.end) / 2) {
    move({ start: around - (around - shown.start) * factor, end: around + (shown.end - around) * factor });
  }

  const keys = { ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25), '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), Home: () => all() };
  picture.addEventListener('keydown', (event) => {
    if (timeline === null || event.ctrlKey || event.altKey || event.metaKey || keys[event.key] === undefined) return;
    event.preventDefault();
    keys[event.key]();
  });

  // The names of providers scroll away on a narrow screen, so a new width is a
  // new picture.
  let drawnWidth = 0;
  new ResizeObserver(([entry]) => {
    const is = Math.round(entry.contentRect.width);
    if (is !== drawnWidth) {
      drawnWidth = is;
      draw();
    }
  }).observe(picture);

  const button = (text, label, act) => html('button', { type: 'button', 'aria-label': label, title: label, onclick: () => timeline && act() }, text);
  const element = html('div', { class: 'timeline' },
    html('div', { class: 'tools' },
      html('div', { class: 'group', role: 'group', 'aria-label': 'Move and zoom' },
        button('‹', 'Earlier', () => pan(-0.5)), button('›', 'Later', () => pan(0.5)),
        button('−', 'Zoom out', () => zoom(2)), button('+', 'Zoom in', () => zoom(0.5))),
      html('div', { class: 'group', role: 'group', 'aria-label': 'Length of the range' },
        SPANS.map(([label, span]) => button(label, `Show ${label.replace(/^(?!\d)/, 'a ')}`, () => {
          const middle = (shown.start + shown.end) / 2;
          move({ start: middle - span / 2, end: middle + span / 2 });
        })),
        button('all', 'Show everything', all))),
    picture,
    html('div', { class: 'legend' }, MEANING.map(([state, text]) => html('span', {}, swatch(state), ` ${text}`))),
    html('div', { class: 'below' }, hint, readout));

  return {
    element,
    columns: () => Math.min(2000, Math.max(200, Math.round(width()))),
    clear() {
      timeline = null;
      rows.replaceChildren(html('p', { class: 'note' }, 'Looking …'));
    },
    show(newShown, newTimeline) {
      shown = newShown;
      if (newTimeline !== undefined) timeline = newTimeline;
      draw();
    },
  };
}
