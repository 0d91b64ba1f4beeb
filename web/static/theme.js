// The kept choice of colours, before the first paint: the console itself comes too late for that.
try {
  document.documentElement.dataset.theme = localStorage.getItem('muster-theme') || 'system';
} catch {
  document.documentElement.dataset.theme = 'system';
}
