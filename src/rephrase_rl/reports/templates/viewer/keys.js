// Keys: j and k to move, Enter to open (links do that), Escape to go back, / to search.

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  '/': () => focusSearch(),
  '?': () => byId('help').showModal(),
  t: () => toggleTheme(),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
  const typing = event.target.matches('input:not([type=radio]):not([type=checkbox]), select, textarea');
  if (event.key === 'Escape') leave(event.target, typing);
  else if (!typing && event.key in KEYS) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

/** In the table to the next row, in a group to the next group. */
function move(by) {
  if (view === 'group') {
    const place = rowsShown.findIndex((row) => row.number === groupShown);
    const next = rowsShown[place + by];
    if (place >= 0 && next) location.hash = address('group', { n: next.number });
    return;
  }
  if (view !== 'groups') {
    location.hash = lastTable;
    return;
  }
  const links = [...byId('table-body').querySelectorAll('.row-link')];
  const now = links.indexOf(document.activeElement);
  if (by > 0 && now === links.length - 1) list.reach(links.length);
  const next = byId('table-body').querySelectorAll('.row-link')[Math.max(0, now + by)];
  next?.focus();
}

function focusSearch() {
  if (view !== 'groups') location.hash = lastTable;
  setTimeout(() => byId('search').select());
}

function leave(target, typing) {
  if (typing) target.blur();
  else if (view === 'group') location.hash = lastTable;
}
