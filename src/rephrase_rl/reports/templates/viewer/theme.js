// Light or dark: the system's choice until the reader makes one, which is kept where that is allowed.

function otherTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  return (document.documentElement.dataset.theme ?? system) === 'dark' ? 'light' : 'dark';
}

function toggleTheme() {
  const theme = otherTheme();
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('rephrase-rl-theme', theme); // early.js reads it
  } catch {
    // Kept for this page only.
  }
  nameTheme();
}

function nameTheme() {
  byId('theme').textContent = otherTheme() === 'dark' ? 'Dark' : 'Light';
  byId('theme').setAttribute('aria-label', `${byId('theme').textContent} colours`);
}
