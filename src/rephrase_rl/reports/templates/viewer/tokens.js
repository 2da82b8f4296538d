// Token by token: how likely the policy finds a candidate given q, and given P(q, k).

const HEAT = {
  difference: ['q against P(q, k)', 'less likely given q alone', 'more likely'],
  q: ['given q', 'unlikely', ''],
  context: ['given P(q, k)', 'unlikely', ''],
};
const DIFFERENCE_AT_FULL = 3;
const LOGP_AT_FULL = 5;

/** Pieces and log-probs of each token. `null` where the second was not measured. */
function tokensOf(candidate) {
  const characters = [...(candidate.heat.text ?? candidate.text)];
  let position = 0;
  return candidate.heat.lengths.map((length, i) => {
    const piece = characters.slice(position, position + length).join('');
    position += length;
    return {
      piece,
      q: nats(candidate.heat.q[i]),
      context: candidate.heat.context === null ? null : nats(candidate.heat.context[i]),
    };
  });
}

function nats(hundredths) {
  return hundredths === null ? null : hundredths / 100;
}

function heatMap(candidate) {
  if (candidate.heat === null) {
    return make('p', { class: 'note' }, 'No log-probabilities of its tokens were kept (log.token_logps).');
  }
  const tokens = tokensOf(candidate);
  const measured = candidate.heat.context !== null;
  let chosen = 0;
  const facts = make('p', { class: 'facts-of-token', role: 'status' });
  const spans = tokens.map((token, i) => make('span', { class: 'token', 'data-token': i }, tokenText(token.piece)));
  const map = make('pre', {
    class: 'heat', dir: 'auto', tabindex: '0', role: 'group', 'aria-label': 'Tokens; arrow keys go through them',
    on: {
      keydown: (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1, Home: -tokens.length, End: tokens.length }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        choose(chosen + by);
      },
      pointerover: (event) => {
        const token = event.target.closest('.token');
        if (token !== null) choose(Number(token.dataset.token));
      },
    },
  }, spans);
  const legend = make('p', { class: 'note heat-legend' });
  function choose(place) {
    spans[chosen].classList.remove('chosen');
    chosen = Math.max(0, Math.min(tokens.length - 1, place));
    spans[chosen].classList.add('chosen');
    facts.replaceChildren(...tokenFacts(tokens[chosen], chosen, tokens.length));
  }
  function colour(kind) {
    tokens.forEach((token, i) => paint(spans[i], heatOf(token, kind)));
    legend.replaceChildren(
      make('span', { class: 'sample down' }), ` ${HEAT[kind][1]}`,
      ...(HEAT[kind][2] ? [' ', make('span', { class: 'sample up' }), ` ${HEAT[kind][2]}`] : []));
  }
  if (tokens.length) choose(0);
  const first = measured ? 'difference' : 'q';
  colour(first);
  return make('section', { 'aria-label': 'Token by token' },
    make('h3', {}, 'Token by token'),
    make('div', { class: 'controls' }, radios('Colour', Object.keys(HEAT).filter((kind) => measured || kind === 'q')
      .map((kind) => [kind, HEAT[kind][0]]), first, colour), legend),
    map, facts, chartFigure(tokenChart(tokens, measured), { axis: 'token', pick: (number) => choose(number - 1) }));
}

/** From -1 (full colour of "less likely") to 1. */
function heatOf(token, kind) {
  if (kind === 'difference') return clamp((token.q - token.context) / DIFFERENCE_AT_FULL);
  return clamp(token[kind] / LOGP_AT_FULL);
}

function clamp(value) {
  return Math.max(-1, Math.min(1, value));
}

function paint(span, heat) {
  span.classList.toggle('down', heat < 0);
  span.classList.toggle('up', heat > 0);
  span.style.setProperty('--heat', `${Math.round(55 * Math.abs(heat))}%`);
}

/** A line break is shown as one and as a sign; a token without text, such as the end's, as a sign. */
function tokenText(piece) {
  if (piece === '') return '∎';
  return show(piece).map((node) => (typeof node === 'string' ? node.replaceAll('\n', '↵\n') : node));
}

function tokenFacts(token, place, all) {
  const ratio = token.q === null || token.context === null ? null : Math.exp(token.q - token.context);
  return [
    make('b', {}, `Token ${count(place + 1)} of ${count(all)}: `),
    make('span', { class: 'mono' }, token.piece === '' ? 'without text' : ['“', tokenText(token.piece), '”']),
    `, log-probability ${figure(token.q, 2)} given q`,
    ...(ratio === null ? [] : [
      `, ${figure(token.context, 2)} given P(q, k): ratio ${ratio < 0.001 ? ratio.toExponential(1) : Number(ratio.toPrecision(3))}`]),
  ];
}

function tokenChart(tokens, measured) {
  const x = tokens.map((_, i) => i + 1);
  const line = (label, key) => ({ label, x, y: tokens.map((token) => token[key]), faint: [], low: [], high: [] });
  return {
    title: 'Log-probability', unit: 'nats, by token', share: false, stairs: false,
    lines: [line('given q', 'q'), ...(measured ? [line('given P(q, k)', 'context')] : [])],
  };
}
