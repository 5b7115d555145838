// One source: how far it is ready, its picture, why the range shown is not
// ready, and what is locked, failed or late anywhere.

import { ago, around, html, length, name, plural, range, stamp, swatch, when } from './dom.js';
import { askObstacles, askOutstanding, askTimeline, isFile, now } from './data.js';
import { badges } from './list.js';
import { makeTimeline } from './timeline.js';

const LEAST = 1000;

// What a person types: 2024-01-31, 2024-01-31 23:59 or more exactly; UTC.
function typed(text) {
  const parts = /^\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?))?\s*Z?\s*$/.exec(text);
  return parts === null ? NaN : Date.parse(`${parts[1]}T${parts[2] ?? '00:00'}Z`);
}

function whoOf({ provider, holder }) {
  return [provider === undefined ? 'no provider' : name(provider), holder === undefined ? null : [' · ', name(holder)]];
}

function detailsOf({ state, since, lease, abandoned, due, reason }) {
  const parts = [];
  if (since !== undefined && state !== 'registered') parts.push(['since ', around(since), ` (${ago(since, now())})`]);
  if (state === 'locked' && lease !== undefined) parts.push([abandoned ? 'lease ended ' : 'lease ends ', ago(lease, now())]);
  if (due !== undefined) parts.push(['was due ', around(due), ` (${ago(due, now())})`]);
  const line = parts.flatMap((part, i) => (i > 0 ? [', ', ...part] : part));
  return [line.length > 0 ? html('div', {}, line) : null, reason === undefined ? null : html('div', { class: 'reason' }, name(reason))];
}

function stateOf({ state, abandoned, due }) {
  const words = [[abandoned ? 'abandoned' : state, abandoned ? 'abandoned' : state === 'missing' ? 'track' : state]];
  if (due !== undefined) words.unshift(['late', 'late']);
  return words.map(([word, kind]) => html('span', { class: `badge ${kind}` }, swatch(kind), ` ${word}`));
}

// move(range) is called with the range of a row that is chosen.
function partitionTable(caption, partitions, move) {
  return html('table', { class: 'partitions' },
    html('caption', { class: 'hidden' }, caption),
    html('thead', {}, html('tr', {}, ['Range', 'State', 'By whom', 'Since, and why'].map((word) => html('th', { scope: 'col' }, word)))),
    html('tbody', {}, partitions.map((each) => html('tr', {},
      html('td', {}, html('button', {
        type: 'button', class: 'link', title: 'Show it in the timeline',
        onclick: () => {
          const beside = (each.end - each.start) * 0.5;
          move({ start: each.start - beside, end: each.end + beside });
        },
      }, range(each.start, each.end)), html('small', {}, length(each.end - each.start))),
      html('td', { class: 'state' }, stateOf(each)),
      html('td', { class: 'whom' }, whoOf(each)),
      html('td', { class: 'details' }, detailsOf(each))))));
}

// go(source, range) is called when another range is to be shown.
export function makeSource({ go }) {
  let source = null;
  let shown = null;
  let whole = null;
  let wanted = null;
  let isTyping = false;
  let asked = null;

  const heading = html('h1', { tabindex: -1 });
  const verdict = html('div', { class: 'verdict' });
  const error = html('p', { class: 'error', role: 'alert', hidden: true });
  const from = html('input', { id: 'from', size: 20, autocomplete: 'off', spellcheck: 'false' });
  const to = html('input', { id: 'to', size: 20, autocomplete: 'off', spellcheck: 'false' });
  const title = html('h2', {});
  const why = html('div', { class: 'why', 'aria-live': 'polite' });
  const outstanding = html('div', {});

  const move = (range) => {
    const middle = (range.start + range.end) / 2;
    const half = Math.max(range.end - range.start, LEAST) / 2;
    go(source, { start: Math.round(middle - half), end: Math.round(middle + half) });
  };
  const timeline = makeTimeline({ move, all: () => whole && go(source, whole) });

  const form = html('form', {
    class: 'range-form',
    onsubmit: (event) => {
      event.preventDefault();
      const [start, end] = [typed(from.value), typed(to.value)];
      from.setCustomValidity(Number.isNaN(start) ? 'Write it as 2024-01-31 or 2024-01-31 23:59; it is in UTC.' : '');
      to.setCustomValidity(Number.isNaN(end) ? 'Write it as 2024-01-31 or 2024-01-31 23:59; it is in UTC.' : end <= start ? 'The end has to come after the start.' : '');
      if (!form.reportValidity()) return;
      isTyping = false;
      go(source, { start, end });
    },
    oninput: () => {
      isTyping = true;
      [from, to].forEach((input) => input.setCustomValidity(''));
    },
  },
    html('label', { for: 'from' }, 'From'), from, html('label', { for: 'to' }, 'to'), to,
    html('button', { type: 'submit' }, 'Show'), html('span', { class: 'note' }, 'UTC'));

  const picture = html('section', { class: 'card', 'aria-label': 'Timeline' }, form, timeline.element);
  const explanation = html('section', { class: 'card' }, title, why);
  const rest = html('section', { class: 'card' }, html('h2', {}, 'Locked, failed or late, anywhere'), outstanding);

  function showWhy(found) {
    const { start, end, obstacles, stretches, told, count } = found;
    title.replaceChildren(stretches === 0 ? 'This range is ready' : 'Why is this range not ready?');
    if (stretches === 0) {
      why.replaceChildren(html('p', {}, swatch('ready'), ' ', range(start, end), ': every instant is there, and nobody is at work in it.'));
      return;
    }
    const isCut = told < stretches || count > obstacles.length;
    why.replaceChildren(
      html('p', {}, range(start, end), ' is not ready', stretches > 1 ? ` in ${stretches.toLocaleString('en')} stretches.` : '.',
        isCut ? isFile ? ' This file does not tell all that is in the way.' : ' What is in the way of the first of them; to see the rest, zoom in.' : null),
      partitionTable('What is in the way', obstacles, move));
  }

  function showOutstanding({ count, partitions }) {
    rest.hidden = count === 0;
    outstanding.replaceChildren(
      ...(partitions.length < count ? [html('p', {}, `The first ${partitions.length} of ${plural(count, 'partition')}.`)] : []),
      partitionTable('Locked, failed or late', partitions, move));
  }

  // What arrives meanwhile does not write over what is being typed.
  function showRange() {
    if (isTyping) return;
    from.value = stamp(shown.start);
    to.value = stamp(shown.end);
  }

  // In a file there is one answer, about all there is, and before and after is
  // nothing.
  function clip(found) {
    const { start, end } = shown;
    const before = { start, end: found.start, state: 'missing' };
    const after = { start: found.end, end, state: 'missing' };
    const obstacles = [before, ...found.obstacles, after]
      .filter((each) => each.start < Math.min(each.end, end) && each.end > start)
      .map((each) => ({ ...each, start: Math.max(each.start, start), end: Math.min(each.end, end) }));
    const isAll = found.told === found.stretches && found.count === found.obstacles.length;
    return { start, end, obstacles, count: obstacles.length, told: Number(isAll), stretches: Number(!isAll || obstacles.length > 0) };
  }

  async function load(signal) {
    const name = source;
    if (shown !== null) {
      timeline.show(shown);
      showRange();
    }
    picture.setAttribute('aria-busy', 'true');
    const found = await askTimeline(name, shown, timeline.columns(), signal);
    if (found === null) {
      picture.hidden = rest.hidden = true;
      title.replaceChildren('No timeline in this file');
      why.replaceChildren(html('p', {}, 'Name the source when the file is made: ', html('code', {}, 'partreg page SOURCE > status.html'), '.'));
      return;
    }
    if (found.first !== null) whole = { start: found.first, end: found.last };
    shown ??= { start: found.start, end: found.end };
    picture.hidden = false;
    picture.removeAttribute('aria-busy');
    showRange();
    timeline.show(shown, found);
    await Promise.all([
      askObstacles(name, shown, signal).then((found) => showWhy(isFile ? clip(found) : found)),
      askOutstanding(name, signal).then(showOutstanding),
    ]);
  }

  // Ask again, for another source or range, or as something has changed.
  async function refresh() {
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      await load(signal);
      error.hidden = true;
    } catch (problem) {
      if (signal.aborted) return;
      error.hidden = false;
      error.textContent = problem.status === 504
        ? 'The database took too long over this range. A shorter one may work.'
        : `The timeline cannot be shown: ${problem.message}`;
    }
  }

  function showState(row) {
    heading.replaceChildren(name(source));
    if (row === undefined) {
      verdict.replaceChildren(html('p', {}, 'There is no source of this name. It may have been renamed or dropped.'));
      return;
    }
    verdict.replaceChildren(
      html('p', { class: 'ready-to' }, ...(row.ready_to === undefined ? ['Nothing is ready yet']
        : ['Ready to ', html('b', {}, when(row.ready_to)), html('small', {}, ` UTC, ${ago(row.ready_to, now())}`)])),
      html('p', {}, badges(row)),
      html('p', { class: 'note' }, 'Owner ', name(row.owner),
        row.rule === 'all' ? '. Rule all: every provider has to supply an instant.' : '. Rule any: one provider is enough for an instant.'));
  }

  return {
    element: html('div', { class: 'view' },
      html('nav', {}, html('a', { href: '#', class: 'back' }, '‹ All sources')),
      heading, verdict, error, picture, explanation, rest),
    heading,
    // row: what the list knows of the source; undefined: there is none.
    show(newSource, newShown, row) {
      const key = JSON.stringify([newSource, newShown]);
      const isNew = key !== wanted;
      wanted = key;
      if (isNew) isTyping = false;
      if (newSource !== source) {
        whole = null;
        timeline.clear();
        title.replaceChildren('Looking …');
        why.replaceChildren();
        outstanding.replaceChildren();
        rest.hidden = true;
      }
      source = newSource;
      showState(row);
      picture.hidden = explanation.hidden = row === undefined;
      if (row === undefined) {
        rest.hidden = true;
        wanted = null;
        asked?.abort();
      } else if (isNew) {
        shown = newShown;
        refresh();
      }
    },
    // Done when it has been asked for again.
    changed(row) {
      showState(row);
      return row === undefined ? undefined : refresh();
    },
  };
}
