// Word-level differences: the longest common subsequence of words, found by dynamic programming.

const MOST_CELLS = 16e6;

function words(text) {
  return text.match(/\p{L}+|\p{N}+|\s+|[^\p{L}\p{N}\s]/gu) ?? [];
}

/**
 * Runs of two texts: [[text, isCommon], ...] of each. null if they are too long to be compared.
 * Blanks are compared like words, so that joining the runs gives each text back.
 */
function difference(one, other) {
  const a = words(one);
  const b = words(other);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  const most = Math.min(a.length, b.length) - start;
  while (end < most && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const middle = common(a.slice(start, a.length - end), b.slice(start, b.length - end));
  if (middle === null) return null;
  const edges = (side, flags) => runs(side, [
    ...Array(start).fill(true), ...flags, ...Array(end).fill(true)]);
  return [edges(a, middle[0]), edges(b, middle[1])];
}

/** Which words of each side belong to a longest common subsequence. */
function common(a, b) {
  if (a.length * b.length > MOST_CELLS) return null;
  const columns = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * columns);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i * columns + j] = a[i] === b[j]
        ? lengths[(i + 1) * columns + j + 1] + 1
        : Math.max(lengths[(i + 1) * columns + j], lengths[i * columns + j + 1]);
    }
  }
  const flags = [Array(a.length).fill(false), Array(b.length).fill(false)];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      flags[0][i] = flags[1][j] = true;
      i += 1;
      j += 1;
    } else if (lengths[(i + 1) * columns + j] >= lengths[i * columns + j + 1]) i += 1;
    else j += 1;
  }
  return flags;
}

/** Neighbouring words of one kind joined; blanks between two changed words count as changed. */
function runs(side, flags) {
  const kinds = flags.map((flag, i) => flag
    && !(/^\s+$/.test(side[i]) && flags[i - 1] === false && flags[i + 1] === false));
  const joined = [];
  side.forEach((word, i) => {
    if (joined.length && joined.at(-1)[1] === kinds[i]) joined.at(-1)[0] += word;
    else joined.push([word, kinds[i]]);
  });
  return joined;
}

/** A text with what is not in the other one marked by `tag` (ins or del). */
function marked(parts, tag_) {
  return parts.map(([text, isCommon]) => (isCommon ? show(text) : make(tag_, {}, show(text))));
}
