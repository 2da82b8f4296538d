// One group: what was asked, what was offered, what it replaced, and what was trained on.

async function showGroup(number) {
  const place = number - data.pages[data.page - 1].first;
  const row = index.rows[place];
  const view = byId('group');
  if (row === undefined) {
    const other = fileOf(number);
    view.replaceChildren(make('h2', { tabindex: '-1' }, 'This group is not on this page'),
      make('p', {}, other ? make('a', { href: groupAddress(number) }, 'Open the page that has it') : 'There is no such group.'));
    return;
  }
  const group = await fullGroup(place);
  const problem = index.problems[row.problem];
  view.replaceChildren(
    steppers(row),
    make('h2', { tabindex: '-1' }, `Step ${count(row.step)} · `, show(problem.id)),
    make('p', {}, tagsOf(row), ' ', problem.dataset ? tag('', show(problem.dataset)) : null),
    make('p', {}, show(group.verdict), group.rank ? ` (process ${group.rank})` : ''),
    marksRows(row),
    textsOf(index.texts[row.text]),
    comparison(index.texts[row.text].expert, group, row),
    membersTable(group, row),
    make('h3', {}, 'This problem over time'),
    visitStrip(problem, row.number),
  );
}

function steppers(row) {
  const place = rowsShown.indexOf(row);
  const link = (to, label, key) => (to === undefined
    ? make('span', { class: 'off' }, label)
    : make('a', { href: address('group', { n: to.number }), title: `key ${key}` }, label));
  return make('nav', { class: 'steps', 'aria-label': 'Groups in the order of the table' },
    make('a', { href: lastTable, title: 'key Escape' }, '↑ table'),
    place < 0 ? null : [
      link(rowsShown[place - 1], '← previous', 'k'), link(rowsShown[place + 1], 'next →', 'j'),
      make('span', { class: 'note' }, `${count(place + 1)} of ${count(rowsShown.length)}`)]);
}

function marksRows(row) {
  const line = (label, marks) => [
    make('span', { class: 'label' }, label),
    make('ol', { class: 'row', 'aria-label': `Rewards ${label}` },
      marks.map((mark, place) => make('li', {}, square(mark, place === row.slot ? 'slot' : ''))))];
  const after = row.before.map((mark, place) => (place === row.slot ? row.after : mark));
  return make('div', { class: 'marks' }, line('as sampled', row.before),
    row.after ? line('trained on', after) : null);
}

function textsOf({ question, answer }) {
  return make('dl', { class: 'texts' },
    make('dt', {}, 'Question'), make('dd', {}, block(question)),
    make('dt', {}, 'Reference answer'), make('dd', {}, block(answer)));
}

/** Expert text, candidate and replaced rollout side by side. */
function comparison(expert, group, row) {
  const { candidates, replaced } = group;
  if (!candidates.length) {
    return make('div', {}, make('h3', {}, 'Expert text'),
      expert === null ? make('p', { class: 'note' }, 'This problem has none.') : block(expert));
  }
  const start = Math.max(0, candidates.findIndex((candidate) => candidate.accepted));
  const chosen = { candidate: start, against: expert === null ? 'replaced' : 'expert' };
  const columns = make('div', { class: 'side-by-side' });
  const detail = make('div');
  const update = () => {
    const candidate = candidates[chosen.candidate];
    columns.replaceChildren(...threeColumns(expert, candidate, replaced, chosen.against, row.slot));
    detail.replaceChildren(...candidateDetail(candidate));
  };
  update();
  return make('section', { 'aria-label': 'Texts side by side' },
    make('h3', {}, 'Side by side'),
    make('div', { class: 'controls' },
      candidates.length > 1 ? radios('Candidate', candidates.map((c, i) => [
        i, [`${i + 1} `, tag(c.accepted ? 'good' : 'bad', c.accepted ? 'accepted' : 'refused')]]),
      chosen.candidate, (value) => { chosen.candidate = Number(value); update(); }) : null,
      radios('Mark differences of the candidate to', [
        ...(expert === null ? [] : [['expert', 'the expert text']]),
        ...(replaced === null ? [] : [['replaced', 'the replaced rollout']]),
        ['nothing', 'nothing']], chosen.against, (value) => { chosen.against = value; update(); })),
    columns, detail);
}

let choicesMade = 0;

function radios(label, options, value, changed) {
  choicesMade += 1;
  const name = `choice-${choicesMade}`;
  return make('fieldset', { class: 'filter' }, make('legend', {}, label), options.map(([key, shown]) => make(
    'label', {}, make('input', { type: 'radio', name, value: key, checked: String(key) === String(value),
      on: { change: () => changed(key) } }), ' ', shown)));
}

function threeColumns(expert, candidate, replaced, against, slot) {
  const other = { expert, replaced: replaced?.text ?? null, nothing: null }[against];
  const parts = other === null ? null : difference(other, candidate.text);
  const tooLong = other !== null && parts === null;
  const note = tooLong ? make('p', { class: 'note' }, 'Too long for differences to be marked.') : null;
  const content = (text, side, tag_) => (parts === null || side === null
    ? show(text) : marked(parts[side], tag_));
  const side = (name) => (against === name && parts !== null ? 0 : null);
  const refusal = candidate.refusals.length ? candidate.refusals.join(', ') : 'no reason recorded';
  return [
    column('Expert text', expert, expert === null ? null : content(expert, side('expert'), 'del')),
    column(['Candidate ', make('span', { class: 'sub' }, show(candidate.origin))], candidate.text,
      content(candidate.text, parts === null ? null : 1, 'ins'),
      candidate.accepted ? 'accepted' : 'refused',
      candidate.accepted ? tag('good', 'accepted') : tag('bad', 'refused: ', show(refusal)),
      note, candidateFacts(candidate)),
    column(['Replaced rollout ', slot === undefined ? null : make('span', { class: 'sub' }, `place ${slot}`)],
      replaced?.text ?? null, replaced === null ? null : content(replaced.text, side('replaced'), 'del'), '',
      replaced === null ? null : make('p', { class: 'note' },
        `reward ${rewardText(replaced.reward)} · correctness ${rewardText(replaced.correctness)} · `
        + `${plural(replaced.tokens, 'token')}${replaced.finished ? '' : ', cut at the length limit'}`)),
  ];
}

function column(title, text, content, kind = '', ...below) {
  const name = typeof title === 'string' ? title : title[0].trim();
  const body = text === null ? make('p', { class: 'note' }, 'There is none.')
    : text === '' ? make('p', { class: 'note' }, '(empty)')
      : make('pre', { dir: 'auto', tabindex: '0', role: 'region', 'aria-label': name }, content);
  return make('div', { class: `column ${kind}` }, make('h4', {}, title), body, below);
}

function candidateFacts(candidate) {
  const facts = [
    `reward ${rewardText(candidate.reward)}`,
    `correctness ${rewardText(candidate.correctness)}`,
    `${plural(candidate.tokens, 'token')}${candidate.finished ? '' : ', cut at the length limit'}`,
  ];
  if (candidate.prefix) facts.push(`${plural(candidate.prefix, 'token')} at its start given`);
  if (candidate.copied !== null) facts.push(`${percent(candidate.copied)} in passages of the expert's`);
  return make('p', { class: 'note' }, facts.join(' · '), make('br'),
    'log-probability per token (nats): ', logpText(candidate.logp_q), ' given the question, ',
    logpText(candidate.logp_context), ' given the rephrase prompt');
}

function logpText(value) {
  return value === null ? 'not measured' : figure(value);
}

/** What else there is of a candidate. */
function candidateDetail(candidate) {
  const tokens = heatMap(candidate);
  if (candidate.raw === null && !candidate.removed.length) return [tokens];
  const removed = candidate.removed.length ? ` (${count(candidate.removed.length)} removed)` : '';
  return [make('details', { class: 'text' },
    make('summary', {}, `as sampled, before meta text was removed${removed}`),
    struck(candidate.raw ?? candidate.text, candidate.removed)), tokens];
}

function membersTable(group, row) {
  const largest = Math.max(1e-9, ...group.members.map((member) => Math.abs(member.advantage ?? 0)));
  const head = ['place', 'origin', 'reward', 'correct', 'advantage', 'tokens', 'text'];
  return make('div', {}, make('h3', {}, 'Trained on'), make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Members' },
    make('table', { class: 'members' },
      make('thead', {}, make('tr', {}, head.map((name, i) => make(
        'th', { scope: 'col', class: i > 1 && i < 6 ? 'num' : null }, name)))),
      make('tbody', {}, group.members.map((member, place) => make(
        'tr', { class: place === row.slot ? 'injected' : null },
        make('th', { scope: 'row' }, String(place)),
        make('td', {}, show(member.origin)),
        make('td', { class: 'num', 'data-name': 'reward' }, square([member.reward, row.slot === place ? row.after[1] : row.before[place][1]], '')),
        make('td', { class: 'num', 'data-name': 'correct' }, rewardText(member.correctness)),
        make('td', { class: 'num', 'data-name': 'advantage' }, figure(member.advantage), advantageBar(member.advantage, largest)),
        make('td', { class: 'num', 'data-name': 'tokens' }, count(member.tokens), member.finished ? null : make('span', { class: 'sub' }, 'cut')),
        make('td', { class: 'any' }, block(member.text))))))));
}

/** A bar from the middle: to the right and green for what is made likelier, else to the left. */
function advantageBar(value, largest) {
  if (!value) return null;
  const bar = make('span', { class: `bar ${value > 0 ? 'up' : 'down'}` });
  bar.style.width = `${(50 * Math.abs(value)) / largest}%`;
  return make('span', { class: 'bars', 'aria-hidden': 'true' }, bar);
}
