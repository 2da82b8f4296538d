// Texts as they are: characters that cannot be seen are labelled, long texts folded, nothing cut.

const LONG_CHARACTERS = 700;
const LONG_LINES = 14;
const PREVIEW_CHARACTERS = 140;

/** Text nodes of a text, with a label in place of each hidden character. */
function show(text) {
  const nodes = [];
  let position = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > position) nodes.push(text.slice(position, match.index));
    nodes.push(make('span', { class: 'hidden-char' }, codeOf(match[0])));
    position = match.index + match[0].length;
  }
  if (position < text.length) nodes.push(text.slice(position));
  return nodes;
}

function codeOf(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

/** The same without markup, for attributes. */
function plain(text) {
  return text.replace(HIDDEN, (character) => `[${codeOf(character)}]`);
}

function preview(text, length = PREVIEW_CHARACTERS) {
  const start = text.slice(0, 4 * length).split(/\s+/).join(' ').trim();
  return plain(start.length <= length ? start : `${start.slice(0, length)}…`);
}

function isLong(text) {
  return text.length > LONG_CHARACTERS || text.split('\n', LONG_LINES + 1).length > LONG_LINES;
}

function block(text) {
  if (text === '') return make('p', { class: 'note' }, '(empty)');
  const shown = make('pre', { dir: 'auto' }, show(text));
  return isLong(text) ? folded(text, shown) : shown;
}

function folded(text, content) {
  const length = make('span', {}, ` (${count([...text].length)} characters)`);
  const start = make('span', { class: 'mono' }, preview(text));
  return make('details', { class: 'text' }, make('summary', {}, start, length), content);
}

/** A text as it was sampled, with what was taken out struck through; what is not found is listed. */
function struck(text, removed) {
  const nodes = [];
  const missing = [];
  let position = 0;
  for (const phrase of removed) {
    const found = phrase ? text.indexOf(phrase, position) : -1;
    if (found < 0) {
      missing.push(phrase);
      continue;
    }
    nodes.push(show(text.slice(position, found)), make('del', {}, show(phrase)));
    position = found + phrase.length;
  }
  nodes.push(show(text.slice(position)));
  for (const phrase of missing) nodes.push('\n[removed: ', make('del', {}, show(phrase)), ']');
  return make('pre', { dir: 'auto' }, nodes);
}
