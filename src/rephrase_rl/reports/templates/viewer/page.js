// Elements. Text of a model is only ever a text node: nothing here or elsewhere reads markup.

/** An element with attributes (null and false are left out), listeners under `on`, and children. */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.flat(3).filter((child) => child !== null && child !== false));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

// Numbers as the rest of the report writes them.

function figure(value, digits = 3) {
  if (value === null || value === undefined) return '–';
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', '−');
}

function rewardText(value) {
  return value === null ? '?' : String(Number(value.toPrecision(3))).replace('-', '−');
}

function count(value) {
  return value.toLocaleString('en');
}

function percent(share) {
  return share === null || share === undefined ? '–' : `${(100 * share).toFixed(0)} %`;
}

function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? '' : 's'}`;
}

/** An address within this page. */
function address(view, parameters = {}) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== null && value !== '');
  const query = new URLSearchParams(kept).toString();
  return `#${view}${query ? `?${query}` : ''}`;
}

function tag(kind, ...text) {
  return make('span', { class: `tag ${kind}` }, ...text);
}

/** Rows that are put in a hundred at a time, as the reader comes near the end. */
function growingList(body, more, makeRow) {
  const AT_ONCE = 100;
  let items = [];
  let shown = 0;
  const grow = (to = shown + AT_ONCE) => {
    body.append(...items.slice(shown, to).map(makeRow));
    shown = Math.max(shown, Math.min(items.length, to));
    more.hidden = shown >= items.length;
  };
  more.addEventListener('click', () => grow());
  new IntersectionObserver((seen) => seen[0].isIntersecting && grow(), {
    rootMargin: '600px',
  }).observe(more);
  return {
    fill(newItems) {
      items = newItems;
      shown = 0;
      body.replaceChildren();
      grow();
    },
    /** Make sure that the row at this place is there. */
    reach(place) {
      if (place >= shown) grow(place + AT_ONCE);
    },
  };
}
