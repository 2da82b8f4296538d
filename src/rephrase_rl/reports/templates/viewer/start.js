// One view at a time, by the address; and the beginning.

let view = '';
let groupShown = null;

function parametersOf(hash) {
  return new URLSearchParams(hash.split('?')[1] ?? '');
}

async function route() {
  const name = location.hash.slice(1).split('?')[0];
  const views = [...document.querySelectorAll('[data-view]')];
  const inside = byId(name);
  const wanted = views.find((one) => inside !== null && one.contains(inside)) ?? views[0];
  const parameters = parametersOf(location.hash);
  const cameFrom = view;
  view = wanted.dataset.view;
  if (view === 'groups') showTable(parameters);
  if (view === 'problems') showProblems(parameters);
  if (view === 'group') {
    groupShown = Number(parameters.get('n'));
    await showGroup(groupShown);
  }
  for (const one of views) one.hidden = one !== wanted;
  for (const link of document.querySelectorAll('nav.top [data-to]')) {
    const current = link.dataset.to === (view === 'group' ? 'groups' : view);
    if (current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (view === 'group') {
    scrollTo(0, 0);
    byId('group').querySelector('h2').focus({ preventScroll: true });
  } else if (view === 'groups' && cameFrom === 'group') focusRow(groupShown);
  else if (inside !== null && inside !== wanted) inside.scrollIntoView();
  else if (cameFrom && cameFrom !== view) scrollTo(0, 0);
}

/** The last rescued group, else the last with an injection: what the method does, on the cover. */
async function showExample() {
  const chosen = ['rescued', 'injected'].map((name) => index.rows.findLast((row) => row.tags.includes(name)));
  const row = chosen.find((one) => one !== undefined);
  if (row === undefined || byId('example') === null) return;
  const group = await fullGroup(row.place);
  const texts = index.texts[row.text];
  byId('example').append(
    make('h3', {}, 'An example: ', make('a', { href: groupAddress(row.number) }, show(index.problems[row.problem].id)),
      `, step ${count(row.step)}`),
    make('p', {}, show(group.verdict)), marksRows(row), textsOf(texts), comparison(texts.expert, group, row));
}

async function start() {
  nameTheme();
  byId('theme').addEventListener('click', toggleTheme);
  byId('keys').addEventListener('click', () => byId('help').showModal());
  byId('close-help').addEventListener('click', () => byId('help').close());
  byId('charts')?.append(...data.charts.map(chartFigure));
  byId('ledger-charts')?.append(...data.ledger.map(chartFigure));
  index = await unpack(data.index);
  index.rows.forEach((row, place) => { row.place = place; });
  buildTable();
  buildProblems();
  showTable(new URLSearchParams());
  addEventListener('hashchange', route);
  await route();
  await showExample();
  document.documentElement.dataset.ready = 'true';
}

function fail(error) {
  const message = byId('failed');
  message.hidden = false;
  message.textContent = `This page could not be read: ${error.message}. It needs a browser of 2024 or later.`;
}

start().catch(fail);
