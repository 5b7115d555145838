// What the page shows: asked from the gateway, or found in the page itself where
// it is one file.  The address of the page ends in /ui, so ui/… and changes lead
// to the gateway wherever it is mounted.

const found = document.getElementById('data');
const embedded = found && JSON.parse(found.textContent);
const timelines = new Map(embedded?.timelines.map((each) => [each.name, each]));

// How far the server's clock is ahead of this one's.
let ahead = 0;

export const isFile = embedded !== null;

export function now() {
  return isFile ? embedded.overview.at : Date.now() + ahead;
}

async function ask(path, parameters, signal) {
  const response = await fetch(`${path}?${parameters}`, { signal, headers: { Accept: 'application/json' } });
  const body = await response.json().catch(() => null);
  // The gateway tells of refusals as the original did: with status 200.
  if (!response.ok || body === null || body.status_code > 200) {
    const detail = typeof body?.detail === 'string' ? body.detail : `HTTP status ${response.status}`;
    throw Object.assign(new Error(detail), { status: response.status });
  }
  return body;
}

// The sources named, or all.
export async function askOverview(names) {
  if (isFile) return embedded.overview;
  const answer = await ask('ui/sources.json', new URLSearchParams((names ?? []).map((each) => ['source', each])));
  ahead = answer.at - Date.now();
  return answer;
}

// shown: { start, end }, or null for what is usual.  A file has one picture of
// each source, which holds all there is, or none.
export async function askTimeline(source, shown, columns, signal) {
  if (isFile) return timelines.get(source)?.timeline ?? null;
  return ask('ui/timeline.json', new URLSearchParams({ source, columns, ...shown }), signal);
}

export async function askObstacles(source, shown, signal) {
  if (isFile) return timelines.get(source)?.obstacles ?? null;
  return ask('ui/obstacles.json', new URLSearchParams({ source, start: shown.start, end: shown.end }), signal);
}

export async function askOutstanding(source, signal) {
  if (isFile) return timelines.get(source)?.outstanding ?? null;
  return ask('ui/outstanding.json', new URLSearchParams({ source }), signal);
}

// Calls changed(names) for what has changed, with null where that may be
// anything, and told(connected) when the feed comes and goes.  Without the feed
// it is as if all had changed, each 15 seconds; with it each minute, as locks
// are abandoned and partitions late by the clock alone.
export function follow(changed, told) {
  if (isFile) return;
  let isConnected = false;
  let last = Date.now();
  const open = () => {
    const feed = new EventSource('changes');
    feed.onopen = () => {
      isConnected = true;
      told(true);
      changed(null);
    };
    feed.onmessage = (message) => {
      const change = JSON.parse(message.data);
      const isListChange = ['register_source', 'rename', 'drop_source'].includes(change.event);
      changed(isListChange || !change.source_name ? null : [change.source_name]);
    };
    feed.onerror = () => {
      isConnected = false;
      told(false);
      // A browser comes back by itself after a lost connection, not after a refusal.
      if (feed.readyState === EventSource.CLOSED) setTimeout(open, 15000);
    };
  };
  open();
  const look = () => {
    if (document.hidden || Date.now() - last < (isConnected ? 60000 : 15000)) return;
    last = Date.now();
    changed(null);
  };
  setInterval(look, 1000);
  document.addEventListener('visibilitychange', look);
}
