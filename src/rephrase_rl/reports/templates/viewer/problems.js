// The ledger: what each problem's own rollouts did at every visit, and when something was injected.

const PROBLEM_FILTERS = [
  ['all', 'All', () => true],
  ['hard', 'Began all failed', (problem) => problem.hard],
  ['solved', 'of them solved unguided', (problem) => problem.solved !== null],
  ['unsolved', 'of them not solved', (problem) => problem.hard && problem.solved === null],
];

let problemList = null;

function buildProblems() {
  byId('problem-filters').append(...PROBLEM_FILTERS.map(([name, label, passes]) => make('button', {
    type: 'button', class: 'chip', 'data-show': name,
    on: { click: () => location.replace(address('problems', { show: name, text: byId('problem-search').value })) },
  }, label, ' ', make('span', { class: 'count' }, count(index.problems.filter(passes).length)))));
  problemList = growingList(byId('problem-body'), byId('more-problems'), problemRow);
  byId('problem-search').addEventListener('input', () => {
    const pressed = byId('problem-filters').querySelector('[aria-pressed=true]');
    location.replace(address('problems', { show: pressed?.dataset.show ?? '', text: byId('problem-search').value }));
  });
}

function showProblems(parameters) {
  const known = PROBLEM_FILTERS.find(([name]) => name === parameters.get('show')) ?? PROBLEM_FILTERS[0];
  const wanted = (parameters.get('text') ?? '').toLowerCase();
  if (byId('problem-search').value.toLowerCase() !== wanted) byId('problem-search').value = wanted;
  for (const chip of byId('problem-filters').children) {
    chip.setAttribute('aria-pressed', chip.dataset.show === known[0]);
  }
  const problems = index.problems.filter((problem) => known[2](problem)
    && problem.id.toLowerCase().includes(wanted));
  problemList.fill(problems);
  byId('problems-shown').textContent = problems.length === index.problems.length
    ? plural(problems.length, 'problem') : `${count(problems.length)} of ${plural(index.problems.length, 'problem')}`;
}

function problemRow(problem) {
  return make('tr', {},
    make('th', { scope: 'row', class: 'wide' }, show(problem.id),
      problem.dataset ? make('span', { class: 'sub' }, show(problem.dataset)) : null),
    make('td', {}, outcomeOf(problem)),
    make('td', {}, visitStrip(problem)));
}

function outcomeOf(problem) {
  if (problem.solved !== null) return tag('good', `solved at step ${count(problem.solved)}`);
  const scored = problem.visits.filter((visit) => visit[1] !== null).length;
  if (problem.hard) return scored > 1 ? tag('bad', 'not solved') : tag('', 'not seen again');
  return tag('', scored === 0 ? 'never scored' : 'not all failed at first');
}

/** One square per visit with the share of own rollouts that passed; framed where one was injected. */
function visitStrip(problem, here = null) {
  return make('ol', { class: 'row visits', 'aria-label': 'Visits' }, problem.visits.map(
    ([step, share, open, injected, number]) => {
      const outcome = share === null ? 'unscored' : share <= 0 ? 'none' : share >= 1 ? 'full' : 'part';
      const words = `step ${count(step)}: ${share === null ? 'nothing scored' : `${percent(share)} passed`}`
        + `${injected ? ', injected' : open ? ', gate open' : ''}`;
      const isHere = number === here;
      return make('li', {}, make('a', {
        href: groupAddress(number), class: `mark ${outcome} ${injected ? 'slot' : ''}`, title: words,
        'aria-label': words, 'aria-current': isHere ? 'true' : null,
      }, share === null ? '?' : String(Math.round(100 * share)), make('span', { class: 'when' }, `step ${count(step)}`)));
    }));
}
