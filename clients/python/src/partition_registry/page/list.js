// The list of the sources: which need attention, how far each is ready, and who
// has it.  All are in memory; as many are in the page as have been scrolled to.

import { ago, html, name, plural, swatch, when } from './dom.js';
import { now } from './data.js';

// In the order in which they need attention.
const KINDS = ['failed', 'abandoned', 'late', 'locked'];
const CHUNK = 100;

// A locked partition whose lease is over is counted as locked by the registry
// too; here it is abandoned.
function count(source, kind) {
  return (source[kind] ?? 0) - (kind === 'locked' ? source.abandoned ?? 0 : 0);
}

function rank(source) {
  const found = KINDS.findIndex((kind) => count(source, kind) > 0);
  return found === -1 ? KINDS.length : found;
}

const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

const ORDERS = {
  attention: ['attention', (a, b) => rank(a) - rank(b) || byName(a, b)],
  name: ['name', byName],
  behind: ['least ready', (a, b) => (a.ready_to ?? -Infinity) - (b.ready_to ?? -Infinity) || byName(a, b)],
};

export function sourceLink(source) {
  return '#' + new URLSearchParams({ source });
}

export function badges(source) {
  return KINDS.filter((kind) => count(source, kind) > 0)
    .map((kind) => html('span', { class: `badge ${kind}` }, swatch(kind), ` ${count(source, kind).toLocaleString('en')} ${kind}`));
}

function readyCell(source) {
  if (source.ready_to === undefined) return [html('span', { class: 'never' }, 'nothing yet')];
  return [when(source.ready_to), html('small', {}, ago(source.ready_to, now()))];
}

// Who is at what: the one thing in the way, and the one that is late, to look at
// first.
function whoCell({ blocking, overdue }) {
  const lines = [];
  if (blocking) {
    const word = blocking.abandoned ? 'abandoned, locked' : blocking.state;
    lines.push(html('div', {}, name(blocking.provider), blocking.holder ? [' · ', name(blocking.holder)] : null),
      html('small', { class: 'reason' }, `${word} ${ago(blocking.since, now())}`, blocking.reason ? [': ', name(blocking.reason)] : null));
  }
  if (overdue) {
    if (overdue.provider !== blocking?.provider) lines.push(html('div', {}, name(overdue.provider)));
    lines.push(html('small', {}, `late, was due ${ago(overdue.due, now())}`));
  }
  return lines;
}

// filters: { q, show, order }; choose(filters) is called with others.
export function makeList({ choose }) {
  let sources = [];
  let filters = { q: '', show: '', order: 'attention' };
  let limit = CHUNK;
  const rows = new Map();

  const search = html('input', {
    type: 'search', placeholder: 'Search by name or owner', 'aria-label': 'Search by name or owner', 'aria-keyshortcuts': '/',
    oninput: () => choose({ ...filters, q: search.value }),
  });
  const order = html('select', { 'aria-label': 'Order', onchange: () => choose({ ...filters, order: order.value }) },
    Object.entries(ORDERS).map(([key, [label]]) => html('option', { value: key }, `Order: ${label}`)));
  const chips = html('div', { class: 'chips', role: 'group', 'aria-label': 'Show' });
  const body = html('tbody');
  const table = html('table', { class: 'list' },
    html('thead', {}, html('tr', {},
      html('th', { scope: 'col' }, 'Source'), html('th', { scope: 'col' }, 'Ready to'),
      html('th', { scope: 'col' }, 'In the way or late'), html('th', { scope: 'col' }, 'By whom'))),
    body);
  const empty = html('div', { class: 'empty', hidden: true });
  const more = html('button', { type: 'button', class: 'more', onclick: () => { limit += CHUNK; draw(); } });
  new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting && !more.hidden) {
      limit += CHUNK;
      draw();
    }
  }, { rootMargin: '600px' }).observe(more);

  function chip(key, label, number) {
    return html('button', {
      type: 'button', class: `chip ${key}`, 'aria-pressed': String(filters.show === key), disabled: number === 0 && filters.show !== key,
      onclick: () => choose({ ...filters, show: filters.show === key ? '' : key }),
    }, key ? swatch(key) : null, html('b', {}, number.toLocaleString('en')), ` ${label}`);
  }

  function row(source) {
    const key = JSON.stringify(source) + Math.floor(now() / 60000);
    const known = rows.get(source.name);
    if (known?.key === key) return known.row;
    const made = html('tr', {},
      html('th', { scope: 'row' }, html('a', { href: sourceLink(source.name) }, name(source.name)), html('small', {}, name(source.owner))),
      html('td', { class: 'ready', 'data-label': 'Ready to' }, readyCell(source)),
      html('td', { class: 'state' }, badges(source)),
      html('td', { class: 'whom' }, whoCell(source)));
    rows.set(source.name, { key, row: made });
    return made;
  }

  function explainEmpty() {
    if (sources.length === 0) {
      empty.replaceChildren(html('h2', {}, 'No source is registered yet'),
        html('p', {}, 'A source is a data set that people read. Its owner registers it: ',
          html('code', {}, "SELECT partreg.register_source('sales.orders', 'sales-data@company.com')"), '.'));
      return;
    }
    empty.replaceChildren(html('h2', {}, 'No source matches'),
      html('p', {}, `${plural(sources.length, 'source')} are registered. `,
        html('button', { type: 'button', onclick: () => { choose({ ...filters, q: '', show: '' }); search.focus(); } }, 'Show all')));
  }

  function draw() {
    const focused = document.activeElement;
    const chosen = focused?.closest('.chips') ? [...chips.children].indexOf(focused) : -1;
    chips.replaceChildren(chip('', sources.length === 1 ? 'source' : 'sources', sources.length),
      ...KINDS.map((kind) => chip(kind, kind, sources.filter((source) => count(source, kind) > 0).length)));
    chips.children[chosen]?.focus();

    const wanted = filters.q.toLowerCase();
    const matching = sources
      .filter((source) => (!filters.show || count(source, filters.show) > 0)
        && (source.name.toLowerCase().includes(wanted) || source.owner.toLowerCase().includes(wanted)))
      .sort(ORDERS[filters.order][1]);
    const shown = matching.slice(0, limit).map(row);
    if (shown.length !== body.children.length || shown.some((each, i) => each !== body.children[i])) {
      const place = focused?.closest('tbody') === body ? focused.getAttribute('href') : null;
      body.replaceChildren(...shown);
      if (place !== null) [...body.querySelectorAll('a')].find((link) => link.getAttribute('href') === place)?.focus();
    }
    table.hidden = matching.length === 0;
    empty.hidden = matching.length > 0;
    if (matching.length === 0) explainEmpty();
    more.hidden = matching.length <= limit;
    more.textContent = `Show more of ${plural(matching.length, 'source')}`;
  }

  const heading = html('h1', { tabindex: -1 }, 'How far is the data ready?');
  return {
    element: html('div', { class: 'view' }, heading,
      html('div', { class: 'bar-of-filters' }, chips, html('div', { class: 'search' }, search, order)),
      table, empty, more),
    heading,
    search,
    linkTo: (source) => rows.get(source)?.row.querySelector('a'),
    show(newSources, newFilters) {
      if (newFilters.q !== filters.q || newFilters.show !== filters.show || newFilters.order !== filters.order) limit = CHUNK;
      sources = newSources;
      filters = newFilters;
      if (search.value !== filters.q) search.value = filters.q;
      order.value = filters.order;
      draw();
    },
  };
}
