// Elements, and how times are written.
//
// Names, holders and reasons come from anybody: they become text nodes and
// attribute values, never markup.
//
// The modules of this folder also go into one file, one after the other without
// their imports and exports: an import stands on one line, and no two modules
// have a top-level name in common.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

export function html(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// What somebody chose to write: it may be long, or run from right to left.  A
// character that is not seen, and may make it look like another, is spelt out.
export function name(text) {
  const seen = text.replace(/[\p{Cf}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);
  return html('bdi', { class: 'name' }, seen);
}

export function swatch(state) {
  return svg('svg', { class: 'swatch', width: 12, height: 12, 'aria-hidden': 'true' },
    svg('rect', { class: state, width: 12, height: 12, rx: 2 }));
}

// Milliseconds since 1970 as 2024-01-31 23:59, in UTC, with what is below a
// minute where there is any.
export function stamp(time) {
  const date = new Date(Math.floor(time));
  if (Number.isNaN(date.getTime())) return `year ${Math.round(1970 + time / 31556952000)}`;
  const [day, clock] = date.toISOString().split('T');
  const below = ((time % 60000) + 60000) % 60000 / 1000;
  if (below === 0) return `${day} ${clock.slice(0, 5)}`;
  const seconds = below.toFixed(6).padStart(9, '0').replace(/\.?0+$/, '');
  return `${day} ${clock.slice(0, 5)}:${seconds}`;
}

export function when(time, text = stamp(time)) {
  return html('time', { datetime: stamp(time).replace(' ', 'T') + 'Z' }, text);
}

// When something happened, to the minute.
export function around(time) {
  return when(time, stamp(Math.floor(time / 60000) * 60000));
}

export function range(start, end) {
  const [day, clock] = stamp(end).split(' ');
  return html('span', { class: 'range' }, when(start), ' – ', when(end, stamp(start).startsWith(`${day} `) ? clock : undefined));
}

const UNITS = [[31556952000, 'year'], [2629746000, 'month'], [86400000, 'day'], [3600000, 'hour'], [60000, 'minute'], [1000, 'second']];

// A length of time in the largest unit that it is, or of which there are two.
export function length(time) {
  const [unit, word] = UNITS.find(([unit]) => time === unit || time >= 2 * unit) ?? UNITS.at(-1);
  const count = Math.floor(time / unit);
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

export function ago(time, now) {
  if (Math.abs(now - time) < 1000) return 'just now';
  return time <= now ? `${length(now - time)} ago` : `in ${length(time - now)}`;
}

export function plural(count, word) {
  return `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
}
