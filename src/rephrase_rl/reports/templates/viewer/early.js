// Before anything is shown: the colours that the reader has chosen in an earlier page.
try {
  const theme = localStorage.getItem('rephrase-rl-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is not allowed: the system's choice stays.
}
