// Charts, drawn at the width they have; the pointer reads values off, a click picks a place.

const HEIGHT = 190;
const MARGIN = { left: 46, right: 12, top: 10, bottom: 26 };

/** `axis` names what x counts, `pick` is told where the reader clicks. */
function chartFigure(chart, { axis = 'step', pick = goToStep } = {}) {
  const keys = chart.lines.map((line, i) => ({
    value: make('span', { class: 'value' }),
    item: null,
    line,
    i,
  }));
  for (const key of keys) {
    key.item = make(
      'li', {}, draw('svg', { class: `swatch line-${key.i % 6}`, viewBox: '0 0 22 8', 'aria-hidden': 'true' },
        draw('line', { x1: 0, y1: 4, x2: 22, y2: 4 })), ' ', show(key.line.label), ' ', key.value);
  }
  const area = make('div', { class: 'plot' });
  const at = make('span', { class: 'at' });
  const figure_ = make('figure', { class: 'chart' },
    make('figcaption', {}, make('b', {}, chart.title), ' ',
      make('span', { class: 'unit' }, chart.unit), at),
    area, make('ul', { class: 'legend' }, keys.map((key) => key.item)));
  let width = 0;
  new ResizeObserver(() => {
    if (area.clientWidth === width || area.clientWidth === 0) return;
    width = area.clientWidth;
    area.replaceChildren(plot(chart, { width, keys, at, axis, pick }));
  }).observe(area);
  return figure_;
}

function plot(chart, { width, keys, at, axis, pick }) {
  const steps = chart.lines.flatMap((line) => line.x);
  const values = chart.lines.flatMap((line) => [
    ...line.y, ...line.low, ...line.high, ...line.faint.map((point) => point[1])]);
  const xTicks = ticks(Math.min(...steps), Math.max(...steps), width < 380 ? 4 : 6, true);
  const numbers = values.filter((value) => value !== null);
  const low = chart.stairs ? 0 : Math.min(...numbers);
  const yTicks = chart.share ? [0, 0.25, 0.5, 0.75, 1] : ticks(low, Math.max(...numbers), 5);
  const [x0, x1] = [Math.min(xTicks[0], ...steps), Math.max(xTicks.at(-1), ...steps)];
  const [y0, y1] = [yTicks[0], yTicks.at(-1)];
  const right = width - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const x = (v) => MARGIN.left + ((v - x0) / (x1 - x0 || 1)) * (right - MARGIN.left);
  const y = (v) => bottom - ((v - y0) / (y1 - y0 || 1)) * (bottom - MARGIN.top);
  const cursor = draw('line', { class: 'cursor', y1: MARGIN.top, y2: bottom, visibility: 'hidden' });
  const svg = draw('svg', {
    viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img',
    'aria-label': description(chart, axis),
  },
  yTicks.map((v) => [
    draw('line', { class: 'grid', x1: MARGIN.left, x2: right, y1: y(v), y2: y(v) }),
    draw('text', { class: 'tick', x: MARGIN.left - 7, y: y(v) + 3.5, 'text-anchor': 'end' },
      tickText(v, yTicks)),
  ]),
  xTicks.map((v) => draw('text', {
    class: 'tick', x: x(v), y: HEIGHT - 8, 'text-anchor': 'middle' }, count(v))),
  cursor,
  chart.lines.map((line, i) => draw('g', { class: `series line-${i % 6}` }, lineShapes(line, x, y, chart))));
  readOff(svg, { chart, keys, at, axis, pick, cursor, x, width });
  return svg;
}

function lineShapes(line, x, y, chart) {
  const points = line.x.map((step, i) => [step, line.y[i]]);
  const shapes = [];
  if (line.faint.length) shapes.push(draw('path', { class: 'faint', d: path(line.faint, x, y) }));
  line.low.forEach((low, i) => {
    const high = line.high[i];
    if (low === null || high === null) return;
    shapes.push(draw('line', {
      class: 'whisker', x1: x(line.x[i]), x2: x(line.x[i]), y1: y(low), y2: y(high) }));
  });
  shapes.push(draw('path', { d: path(points, x, y, chart.stairs) }));
  if (points.length <= 30) {
    for (const [step, value] of points) {
      if (value !== null) shapes.push(draw('circle', { cx: x(step), cy: y(value), r: 2.4 }));
    }
  }
  return shapes;
}

/** SVG path through points; a missing value ends one stroke and the next begins another. */
function path(points, x, y, stairs = false) {
  let d = '';
  let last = null;
  for (const [step, value] of points) {
    if (value !== null) {
      if (last !== null && stairs) d += `H${x(step).toFixed(1)}`;
      d += `${last === null ? 'M' : 'L'}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
    }
    last = value;
  }
  return d;
}

/** Round numbers that cover a range. */
function ticks(low, high, most, whole = false) {
  if (!(high > low)) return whole ? [low] : [low - (Math.abs(low) || 1) / 2, low, low + (Math.abs(low) || 1) / 2];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((s) => s >= rough);
  if (whole) step = Math.max(1, Math.round(step));
  const first = whole ? Math.ceil(low / step) : Math.floor(low / step);
  const last = whole ? Math.floor(high / step) : Math.ceil(high / step);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function tickText(value, all) {
  const largest = Math.max(...all.map(Math.abs));
  if (largest >= 10000) return `${Number((value / 1000).toPrecision(4))}k`;
  const step = all.length > 1 ? all[1] - all[0] : 1;
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  return value.toFixed(step === 0.25 ? 2 : digits).replace('-', '−');
}

function description(chart, axis) {
  const lines = chart.lines.map((line) => {
    const known = line.y.map((value, i) => [line.x[i], value]).filter((point) => point[1] !== null);
    if (!known.length) return `${plain(line.label)}: no figures`;
    const [first, last] = [known[0], known.at(-1)];
    return `${plain(line.label)}: ${figure(first[1])} at ${axis} ${first[0]}, ${figure(last[1])} at ${axis} ${last[0]}`;
  });
  return `${chart.title}, by ${axis}. ${lines.join('; ')}.`;
}

function readOff(svg, { chart, keys, at, axis, pick, cursor, x, width }) {
  const steps = [...new Set(chart.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * width;
    return steps.reduce((best, s) => (Math.abs(x(s) - place) < Math.abs(x(best) - place) ? s : best));
  };
  svg.addEventListener('pointermove', (event) => {
    const step = nearest(event);
    cursor.setAttribute('x1', x(step));
    cursor.setAttribute('x2', x(step));
    cursor.setAttribute('visibility', 'visible');
    at.textContent = ` at ${axis} ${count(step)}`;
    for (const key of keys) key.value.textContent = valueAt(key.line, step);
  });
  svg.addEventListener('pointerleave', () => {
    cursor.setAttribute('visibility', 'hidden');
    at.textContent = '';
    for (const key of keys) key.value.textContent = '';
  });
  svg.addEventListener('click', (event) => pick(nearest(event)));
}

function valueAt(line, step) {
  const i = line.x.indexOf(step);
  if (i < 0 || line.y[i] === null) return '–';
  const interval = line.low.length && line.low[i] !== null ? ` (${figure(line.low[i])}–${figure(line.high[i])})` : '';
  return figure(line.y[i], Math.abs(line.y[i]) >= 100 ? 0 : 3) + interval;
}

/** The groups of a step, or of the nearest step before it that has any. */
function goToStep(step) {
  const page = data.pages.findLast((p) => p.count && p.first_step <= step) ?? data.pages[0];
  location.href = (page === data.pages[data.page - 1] ? '' : page.file) + address('groups', { step });
}
