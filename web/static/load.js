// Loads the page anew when a part of it did not come. Browsers give up what they fetch when a network interface comes or
// goes, which on a machine that starts containers is all the time; without this the page would stay empty.
{
  const MOST = 5;
  const KEY = 'muster-loads';
  let waiting = false;
  const kept = (act) => {
    try {
      return act(sessionStorage);
    } catch {
      return null; // Where nothing can be kept, nothing is tried again: better an empty page than one that loads for ever.
    }
  };
  const again = () => {
    const tries = kept((storage) => Number(storage.getItem(KEY) || 0)) ?? MOST;
    if (waiting || tries >= MOST) return;
    waiting = true;
    kept((storage) => storage.setItem(KEY, String(tries + 1)));
    setTimeout(() => location.reload(), 250 * (tries + 1));
  };
  addEventListener(
    'error',
    ({ target }) => {
      if (target instanceof HTMLScriptElement || (target instanceof HTMLLinkElement && target.rel === 'stylesheet')) again();
    },
    true,
  );
  addEventListener('muster-failed', again);
  addEventListener('muster-started', () => kept((storage) => storage.removeItem(KEY)));
}
