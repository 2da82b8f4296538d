// The table of groups: chips with counts, reasons of refusal, search, columns that sort.

let index = null;
let rowsShown = [];
let lastTable = address('groups');
let searching = 0;

const COLUMNS = [
  ['step', 'Step', 'num'],
  ['problem', 'Problem', 'wide'],
  ['failed', 'Rewards', ''],
  [null, 'What became of it', ''],
  ['reward', 'Mean reward', 'num extra'],
  ['logp_q', 'Log-prob given q', 'num extra'],
  ['logp_context', 'given P(q, k)', 'num extra'],
];

let list = null;

function buildTable() {
  const chips = FILTERS.map(([name, label, passes]) => make('button', {
    type: 'button', class: 'chip', 'data-show': name,
    on: { click: () => changeTable({ show: name }) },
  }, label, ' ', make('span', { class: 'count' }, count(index.rows.filter(passes).length))));
  byId('filters').append(...chips);
  choices('rule', countOf(index.rows.flatMap((row) => row.rules)), 'any reason');
  choices('set', countOf(index.rows.map((row) => index.problems[row.problem].dataset).filter(Boolean)), 'all sets');
  byId('table-head').append(...COLUMNS.map(([key, label, kind]) => make('th', {
    scope: 'col', class: kind, 'data-key': key,
  }, key === null ? label : make('button', { type: 'button', on: { click: () => sortBy(key) } }, label))));
  list = growingList(byId('table-body'), byId('more-groups'), tableRow);
  let waiting = null;
  byId('search').addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => changeTable({ text: byId('search').value }), 120);
  });
  byId('deep').addEventListener('change', () => changeTable({ deep: byId('deep').checked ? '1' : '' }));
  byId('step-filter').addEventListener('click', () => changeTable({ step: '' }));
}

function countOf(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

/** A menu of values with their counts; hidden if there is nothing to choose from. */
function choices(name, counted, all) {
  const menu = byId(`${name}-filter`);
  menu.append(make('option', { value: '' }, all), ...counted.map(([value, number]) => make(
    'option', { value }, `${plain(value)} (${count(number)})`)));
  menu.addEventListener('change', () => changeTable({ [name]: menu.value }));
  menu.closest('label').hidden = counted.length === 0;
}

function changeTable(change) {
  const state = { ...tableState(parametersOf(lastTable)), ...change };
  location.replace(tableAddress(state));
}

function sortBy(key) {
  const { sort } = tableState(parametersOf(lastTable));
  changeTable({ sort: sort === key ? `-${key}` : key });
}

async function showTable(parameters) {
  const state = tableState(parameters);
  lastTable = tableAddress(state);
  searching += 1;
  const mine = searching;
  for (const chip of byId('filters').children) {
    chip.setAttribute('aria-pressed', chip.dataset.show === state.show);
  }
  byId('rule-filter').value = state.rule;
  byId('set-filter').value = state.set;
  if (byId('search').value !== state.text) byId('search').value = state.text;
  byId('deep').checked = state.deep !== '';
  byId('step-filter').hidden = state.step === '';
  byId('step-filter').textContent = `step ${state.step} ×`;
  for (const head of byId('table-head').children) {
    const down = state.sort === `-${head.dataset.key}`;
    if (down || state.sort === head.dataset.key) {
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    } else head.removeAttribute('aria-sort');
  }
  for (const link of document.querySelectorAll('#pages a')) {
    link.href = link.dataset.file + lastTable;
  }
  enterRows(chosenRows(state));
  if (!state.text || !state.deep) return;
  byId('shown').textContent += ', searching rollouts and rewrites …';
  const found = await searchTexts(state.text, () => mine === searching);
  if (found !== null && mine === searching) enterRows(chosenRows(state, found));
}

function enterRows(rows) {
  rowsShown = rows;
  list.fill(rows);
  const all = index.rows.length;
  byId('shown').textContent = rows.length === all
    ? plural(all, 'group') : `${count(rows.length)} of ${plural(all, 'group')}`;
  byId('nothing').hidden = rows.length > 0;
}

function tableRow(row) {
  const problem = index.problems[row.problem];
  const link = make('a', { href: address('group', { n: row.number }), class: 'row-link' }, show(problem.id));
  return make('tr', { on: { click: (event) => openRow(event, link) } },
    make('td', { class: 'num' }, count(row.step)),
    make('th', { scope: 'row', class: 'wide' }, link,
      make('span', { class: 'sub' }, preview(index.texts[row.text].question, 90))),
    make('td', {}, squares(row)),
    make('td', {}, tagsOf(row)),
    make('td', { class: 'num extra' }, figure(row.reward)),
    make('td', { class: 'num extra' }, figure(row.logp_q)),
    make('td', { class: 'num extra' }, figure(row.logp_context)));
}

function openRow(event, link) {
  if (event.target.closest('a') || getSelection().toString()) return;
  link.click();
}

/** The group as it was sampled; in the place that was replaced, the new member below the old one. */
function squares(row) {
  return make('ol', { class: 'row', 'aria-label': 'Rewards' }, row.before.map((mark, place) => {
    const isSlot = place === row.slot;
    const old = square(mark, isSlot ? 'old' : '');
    return make('li', {}, old, isSlot ? square(row.after, 'slot') : null);
  }));
}

function square([reward, outcome], kind) {
  return make('span', { class: `mark ${outcome} ${kind}` }, rewardText(reward));
}

function tagsOf(row) {
  const has = (name) => row.tags.includes(name);
  const tags = [];
  if (has('rescued')) tags.push(tag('good', 'rescued'));
  else if (has('injected')) tags.push(tag('good', 'injected'));
  else if (has('accepted')) tags.push(tag('good', 'accepted'));
  if (has('refused')) {
    tags.push(tag('bad', row.rules.length ? ['refused: ', show(row.rules.join(', '))] : 'refused'));
  }
  if (has('copied')) tags.push(tag('part', 'copied'));
  if (!tags.length) tags.push(tag('', has('passed') ? 'all passed' : '', has('passed') ? ' · ' : '', show(row.gate)));
  if (has('unused')) tags.push(tag('', 'not trained on'));
  return make('span', { class: 'tags' }, tags);
}

function focusRow(number) {
  const place = rowsShown.findIndex((row) => row.number === number);
  if (place < 0) return;
  list.reach(place);
  byId('table-body').children[place].querySelector('a').focus();
}
