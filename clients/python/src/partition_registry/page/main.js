// Which view is shown, and when it is asked for again.
//
// The address says what is shown, after its #: source, start and end, or q, show
// and order of the list.  So every view can be bookmarked and sent, and the
// browser's way back works.

import { html, stamp } from './dom.js';
import { askOverview, follow, isFile } from './data.js';
import { makeList } from './list.js';
import { makeSource } from './source.js';

const main = document.getElementById('main');
const status = document.getElementById('status');
const sources = new Map();
let isLoaded = false;
let view = null;
let left = null;

const address = () => new URLSearchParams(location.hash.slice(1));

const list = makeList({
  choose: ({ q, show, order }) => {
    const chosen = Object.entries({ q, show, order: order === 'attention' ? '' : order }).filter(([, value]) => value);
    history.replaceState(null, '', `#${new URLSearchParams(chosen)}`);
    route();
  },
});

const detail = makeSource({
  go: (source, { start, end }) => {
    const isSame = address().has('start');
    history[isSame ? 'replaceState' : 'pushState'](null, '', `#${new URLSearchParams({ source, start, end })}`);
    route();
  },
});

function route() {
  if (!isLoaded) return;
  const wanted = address();
  const source = wanted.get('source');
  const next = source === null ? list : detail;
  const before = view;
  if (next !== view) {
    view = next;
    main.replaceChildren(view.element);
  }
  if (source === null) {
    const [show, order] = [wanted.get('show'), wanted.get('order')];
    list.show([...sources.values()], {
      q: wanted.get('q') ?? '',
      show: ['failed', 'abandoned', 'late', 'locked'].includes(show) ? show : '',
      order: ['name', 'behind'].includes(order) ? order : 'attention',
    });
    document.title = 'Partition registry';
  } else {
    const [start, end] = [Number(wanted.get('start')), Number(wanted.get('end'))];
    detail.show(source, wanted.has('start') && start < end ? { start, end } : null, sources.get(source));
    document.title = `${source} – Partition registry`;
  }
  // Who comes by the keyboard goes on where the new view begins, or the old one was left.
  if (before !== null && before !== view) (view === list && list.linkTo(left) || view.heading).focus();
  left = source;
}

function say(kind, text) {
  if (status.textContent === text) return;
  status.className = kind;
  status.textContent = text;
}

function sayConnected() {
  if (isConnected) say('live', 'Live');
  else say('waiting', 'Looks every 15 seconds');
}

// Ask for the sources that have changed, one request at a time, and not so often
// that a busy registry spends its time on this page.
const waiting = new Set();
let isAllWaiting = false;
let timer = null;
let isAsking = false;
let isConnected = false;
let asOf = null;
let pause = 200;

function changed(names) {
  if (names === null) isAllWaiting = true;
  else for (const each of names) waiting.add(each);
  if (timer === null && !isAsking) timer = setTimeout(refresh, isLoaded ? pause : 0);
}

async function refresh() {
  const names = isAllWaiting || waiting.size > 50 ? null : [...waiting];
  const began = performance.now();
  timer = null;
  isAsking = true;
  isAllWaiting = false;
  waiting.clear();
  try {
    const answer = await askOverview(names);
    if (names === null) sources.clear();
    else for (const each of names) sources.delete(each);
    for (const each of answer.sources) sources.set(each.name, each);
    asOf = answer.at;
    const isFirst = !isLoaded;
    isLoaded = true;
    const current = address().get('source');
    if (!isFirst && view === detail && (names === null || names.includes(current))) await detail.changed(sources.get(current));
    else route();
    if (isFile) say('still', `As of ${stamp(Math.floor(asOf / 1000) * 1000)} UTC`);
    else sayConnected();
  } catch (problem) {
    isAllWaiting = true;
    if (!isLoaded) {
      main.replaceChildren(html('div', { class: 'empty' }, html('h1', {}, 'The registry cannot be reached'),
        html('p', {}, problem.message), html('p', {}, 'This page tries again by itself.')));
    }
    say('broken', isLoaded ? `Not reached; as of ${stamp(Math.floor(asOf / 60000) * 60000)} UTC` : 'Not reached');
  }
  isAsking = false;
  pause = Math.max(200, 3 * (performance.now() - began));
  if (isAllWaiting || waiting.size > 0) timer = setTimeout(refresh, status.className === 'broken' ? 5000 : pause);
}

addEventListener('hashchange', route);
addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches('input, select')) return;
  if (event.key === '/' && view === list) {
    event.preventDefault();
    list.search.focus();
  }
  if (event.key === 'Escape' && view === detail) location.hash = '';
});
changed(null);
follow(changed, (is) => {
  isConnected = is;
  if (isLoaded && status.className !== 'broken') sayConnected();
});
