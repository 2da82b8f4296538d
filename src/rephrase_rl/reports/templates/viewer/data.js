// What the page holds: rows, problems and texts at once, groups in full when they are looked at.

const data = JSON.parse(byId('viewer-data').textContent);
let packed = null;
const unpacked = new Map();

/** Undo `pack` of embedding.py. */
async function unpack(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = characters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}

/** The groups of one piece, in full. */
function pieceOf(number) {
  packed ??= JSON.parse(byId('viewer-groups').textContent);
  if (!unpacked.has(number)) unpacked.set(number, unpack(packed[number]));
  return unpacked.get(number);
}

/** A group in full; `place` counts from the first group of this page. */
async function fullGroup(place) {
  const piece = await pieceOf(Math.floor(place / data.piece));
  return piece[place % data.piece];
}

/** The file of the report that holds a group of the run, '' if it is this one. */
function fileOf(number) {
  const page = data.pages.find((p) => p.first <= number && number < p.first + p.count);
  return page === undefined || page === data.pages[data.page - 1] ? '' : page.file;
}

function groupAddress(number) {
  return fileOf(number) + address('group', { n: number });
}
