// Which groups the table shows, and in which order: read from the address, so that a view is a link.

const FILTERS = [
  ['all', 'All', () => true],
  ['rescued', 'Rescued', (row) => row.tags.includes('rescued')],
  ['accepted', 'Accepted', (row) => row.tags.includes('accepted')],
  ['refused', 'Refused', (row) => row.tags.includes('refused')],
  ['failed', 'All failed', (row) => row.tags.includes('failed')],
  ['passed', 'All passed', (row) => row.tags.includes('passed')],
  ['copied', 'Copied', (row) => row.tags.includes('copied')],
];

const SORT_KEYS = {
  step: (row) => row.number,
  problem: (row) => index.problems[row.problem].id,
  failed: (row) => row.failed,
  reward: (row) => row.reward,
  logp_q: (row) => row.logp_q ?? null,
  logp_context: (row) => row.logp_context ?? null,
};

function tableState(parameters) {
  const sort = parameters.get('sort') ?? 'step';
  return {
    show: FILTERS.some(([name]) => name === parameters.get('show')) ? parameters.get('show') : 'all',
    rule: parameters.get('rule') ?? '',
    set: parameters.get('set') ?? '',
    step: parameters.get('step') ?? '',
    text: parameters.get('text') ?? '',
    deep: parameters.get('deep') ?? '',
    sort: sort.replace(/^-/, '') in SORT_KEYS ? sort : 'step',
  };
}

function tableAddress(state) {
  return address('groups', {
    ...state, show: state.show === 'all' ? '' : state.show, sort: state.sort === 'step' ? '' : state.sort });
}

/** Rows that pass, sorted. `found` holds places of groups with the text in a rollout or rewrite. */
function chosenRows(state, found = new Set()) {
  const [, , passes] = FILTERS.find(([name]) => name === state.show);
  const wanted = state.text.toLowerCase();
  const rows = index.rows.filter((row) => passes(row)
    && (!state.rule || row.rules.includes(state.rule))
    && (!state.set || index.problems[row.problem].dataset === state.set)
    && (!state.step || row.step === Number(state.step))
    && (!wanted || found.has(row.place) || mentions(row, wanted)));
  return sorted(rows, state.sort);
}

function mentions(row, wanted) {
  const { question, answer, expert } = index.texts[row.text];
  return [index.problems[row.problem].id, question, answer, expert ?? '']
    .some((text) => text.toLowerCase().includes(wanted));
}

function sorted(rows, sort) {
  const down = sort.startsWith('-');
  const key = SORT_KEYS[sort.replace(/^-/, '')];
  const keyed = rows.map((row) => [key(row), row]);
  keyed.sort(([a, rowA], [b, rowB]) => {
    if (a === b) return rowA.number - rowB.number;
    if (a === null || b === null) return a === null ? 1 : -1; // what is missing comes last
    const order = typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
    return down ? -order : order;
  });
  return keyed.map(([, row]) => row);
}

/** Places of the groups with the text in a rollout or a rewrite; null if another search came first. */
async function searchTexts(text, isCurrent) {
  const wanted = text.toLowerCase();
  const found = new Set();
  for (let number = 0; number * data.piece < index.rows.length; number += 1) {
    const piece = await pieceOf(number);
    if (!isCurrent()) return null;
    piece.forEach((group, i) => {
      const texts = [...group.members, ...group.candidates, ...(group.replaced ? [group.replaced] : [])];
      if (texts.some((one) => one.text.toLowerCase().includes(wanted))) found.add(number * data.piece + i);
    });
  }
  return found;
}
