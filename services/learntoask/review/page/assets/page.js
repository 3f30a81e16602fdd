// Answers by key and without page loads. Everything here also works as plain forms without this script.
// Answers that cannot be sent wait in `waiting` (kept over a reload) and are sent again in order with the same id, by
// which the server knows a repetition.
'use strict';
(() => {
  const stage = document.getElementById('stage');
  const said = document.getElementById('said');
  const network = document.getElementById('network');
  const guide = document.getElementById('guide');
  const shortcuts = document.getElementById('shortcuts');
  const place = `lta-review:${location.pathname}:${stage.dataset.queue}:${stage.dataset.who}`;
  const ALIVE_MS = 30000, GIVE_UP_MS = 10000, LONGEST_PAUSE_MS = 30000;

  let ahead = [];        // cards that are shown next, as HTML
  let last = null;       // {item, html} of the card answered last, as it was before the answer
  let pending = null;    // the operation whose outcome this page waits for
  let eager = false;     // Enter was pressed before the outcome arrived
  let shownAt = 0, away = 0, hiddenAt = 0;
  let warned = '';       // the warnings on the page, as HTML
  let sending = false, pause = 1000, timer = 0, refused = '';

  const store = {
    read(key, otherwise) {
      try { return JSON.parse(localStorage.getItem(place + key)) ?? otherwise; } catch { return otherwise; }
    },
    write(key, value) {
      try { localStorage.setItem(place + key, JSON.stringify(value)); } catch { /* private mode: this tab only */ }
    },
  };
  let memory = store.read('/waiting', []);
  const waiting = () => (memory = store.read('/waiting', memory));
  const setWaiting = (list) => { memory = list; store.write('/waiting', list); };
  const freshId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');

  const card = () => stage.querySelector('.card');
  function show(html) {
    stage.innerHTML = html;
    shownAt = performance.now(); away = 0;
    settle();
  }

  function settle() {
    toMark();
    settleFocus();
    scrollTo(0, 0);
  }

  function toMark() {
    const talk = stage.querySelector('.talk');
    const mark = stage.querySelector('#marked');
    if (!talk || !mark) return;
    const room = talk.clientHeight - mark.offsetHeight;
    talk.scrollTop = mark.offsetTop - talk.offsetTop - Math.max(12, room * (mark.classList.contains('range') ? 0.1 : 0.6));
  }

  const settleFocus = () => { const q = stage.querySelector('.question'); if (q) q.focus({ preventScroll: true }); };

  function next() {
    if (pending) { eager = true; return; }
    if (ahead.length) { show(ahead.shift()); return; }
    if (waiting().length) { tell('No more questions can be fetched while the connection is lost.'); return; }
    location.assign('./');
  }

  const tell = (text) => { said.textContent = text; };

  // --- operations -------------------------------------------------------------------------------------------------
  function operate(path, fields, wait) {
    const body = { ...fields, form: stage.dataset.form, client: freshId() };
    const operation = { path, body, id: body.client };
    if (wait) { pending = operation; stage.classList.add('busy'); }
    setWaiting([...waiting(), operation]);
    flush();
  }

  async function flush() {
    if (sending) return;
    sending = true; clearTimeout(timer);
    try {
      for (let list = waiting(); list.length; list = waiting()) {
        const operation = list[0];
        const outcome = await send(operation);
        if (outcome === null) { lost(); return; }
        setWaiting(waiting().filter((other) => other.id !== operation.id));
        pause = 1000; refused = '';
        arrived(operation, outcome);
      }
      banner('');
    } finally { sending = false; }
  }

  async function send(operation) {  // the server's word, or null if there is none or it may come later
    const form = new URLSearchParams();
    const ahead_ = isPending(operation) ? ahead.map(idOf) : [];
    for (const [name, value] of Object.entries({ ...operation.body, form: stage.dataset.form, ahead: ahead_ }))
      for (const one of [].concat(value)) form.append(name, one);
    try {
      const answer = await fetch(operation.path, {
        method: 'POST', body: form, headers: { Accept: 'application/json' }, redirect: 'error', signal: AbortSignal.timeout(GIVE_UP_MS),
      });
      const found = await answer.json();
      if (answer.ok) return found;
      if (![403, 429].includes(answer.status) && answer.status < 500) return { error: found.error };
      refused = found.error;  // it may be taken later
      return null;
    } catch { refused = ''; return null; }
  }

  const isPending = (operation) => pending !== null && operation.id === pending.id;
  const idOf = (html) => (/data-item="([0-9a-f]+)"/.exec(html) || [])[1] || '';

  function lost() {
    banner(refused || 'No connection.');
    timer = setTimeout(flush, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    if (pending) { pending = null; stage.classList.remove('busy'); eager = false; if (ahead.length) show(ahead.shift()); }
  }

  function banner(text) {
    const count = waiting().length;
    if (text && count) text += ` ${count} ${count > 1 ? 'answers wait' : 'answer waits'} in this browser and will be sent again.`;
    if (network.textContent !== text) network.textContent = text;
    network.hidden = !text;
  }

  function arrived(operation, found) {
    if (found.progress) document.getElementById('progress').outerHTML = found.progress;
    if (found.warnings && found.warnings !== warned) {  // said once
      document.getElementById('warnings').outerHTML = warned = found.warnings;
    }
    if (found.next) ahead.push(found.next);
    if (!isPending(operation)) { if (found.error) tell(found.error); return; }
    pending = null; stage.classList.remove('busy');
    const on = eager && operation.path === 'answer'; eager = false;
    const stays = found.card && !(found.agreed || on);
    if (found.error) tell(found.error); else said.innerHTML = found.notice || (stays ? '' : found.said);
    if (stays && operation.path === 'undo') { putBack(); ahead = ahead.filter((html) => idOf(html) !== idOf(found.card)); }
    if (stays) show(found.card); else if (found.card || found.gone) next();
  }

  // --- what a person does -----------------------------------------------------------------------------------------
  const seconds = () => Math.max(0, (performance.now() - shownAt - away) / 1000).toFixed(1);

  document.addEventListener('submit', (event) => {
    const form = event.target;
    const path = form.getAttribute('action');
    if (!['answer', 'undo', 'skip', 'comment'].includes(path)) return;
    event.preventDefault();
    if (pending) return;
    const item = card() && card().dataset.item;
    if (path === 'answer') return answer(form, event.submitter, item);
    if (path === 'undo') return undo();
    if (path === 'skip') { last = null; operate('skip', { item, seconds: seconds() }, true); return; }
    operate('comment', { item, comment: form.comment.value }, false);
    form.reset(); form.closest('details').open = false;
    card().querySelector('.has').hidden = false;
    settleFocus();
    tell('Your comment is saved.');
  });

  function answer(form, button, item) {
    const fields = { item, seconds: seconds(), answer: [] };
    if (button && button.name === 'say') fields.say = button.value;
    if (button && button.name === 'answer') fields.answer = [button.value];
    else if (fields.say === 'these') {
      fields.answer = [...form.querySelectorAll('input[name=answer]:checked')].map((box) => box.value);
      if (!fields.answer.length) { tell('Choose at least one, or “None of these”.'); return; }
    }
    if (card().classList.contains('revealed')) fields.revealed = 1; else last = { item, html: card().outerHTML };
    if (button) button.classList.add('chosen');
    operate('answer', fields, true);
  }

  // The server finds the last answer, which another tab or an earlier visit may have given; without it, this page does.
  function undo() {
    if (!waiting().length) { last = null; operate('undo', { item: '' }, true); return; }
    if (!last) return;
    const before = last; last = null;
    putBack();
    show(before.html); operate('undo', { item: before.item }, false); tell('What you did last is undone.');
  }
  function putBack() { if (card() && !card().classList.contains('revealed')) ahead.unshift(card().outerHTML); }

  document.addEventListener('change', (event) => {  // after the votes were shown, Enter changes ticks that differ
    if (!event.target.matches('.revealed .key input')) return;
    const differs = [...stage.querySelectorAll('.key input')].some((box) => box.checked !== box.defaultChecked);
    const on = stage.querySelector('[data-do=next]'), change = stage.querySelector('[value=these]');
    for (const [button, by] of [[on, !differs], [change, differs]]) {
      button.className = by ? 'main' : 'quiet';
      if (by) button.dataset.press = 'Enter'; else delete button.dataset.press;
    }
  });

  document.addEventListener('click', (event) => {
    const summary = event.target.closest('.comment summary');
    if (summary) {
      event.preventDefault();
      const details = summary.parentElement;
      details.open = !details.open;
      if (details.open) { details.scrollIntoView({ block: 'nearest' }); details.querySelector('textarea').focus({ preventScroll: true }); }
      return;
    }
    const link = event.target.closest('a[data-do]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.dataset.do === 'next') next();
    else if (link.dataset.do === 'reload') location.reload();
    else openGuide(link.href);
  });

  async function openGuide(address) {
    const text = guide.querySelector('.text');
    try {
      const answer = await fetch(address, { headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(GIVE_UP_MS) });
      text.innerHTML = (await answer.json()).html;
    } catch { text.textContent = 'The guideline cannot be fetched without a connection.'; }
    guide.showModal();
  }

  document.addEventListener('keydown', (event) => {
    const note = event.target.closest('textarea');
    if (note) {
      if (event.isComposing) return;
      if (event.key === 'Escape') { note.closest('details').open = false; settleFocus(); }
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); note.form.requestSubmit(); }
      return;
    }
    if (scrolled(event)) { event.preventDefault(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    const on = event.target;
    const natively = event.key === 'Enter' && on.closest('button, a, summary');
    if (natively || !shortcuts.checked || event.key.length > 1 && event.key !== 'Enter') return;
    if (/["\\ ]/.test(event.key)) return;
    const press = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const target = (guide.open ? guide : document).querySelector(`[data-press~="${press}"]`);
    if (!target) { if (press === 'Enter' && pending) eager = true; return; }
    event.preventDefault();
    if (pending && press === 'Enter') { eager = true; return; }
    target.click();
    if (target.matches('.key input')) target.closest('.key').scrollIntoView({ block: 'nearest' });
  });

  // The keys that scroll a page scroll the conversation, wherever the focus is, unless something there takes them.
  function scrolled(event) {
    const talk = stage.querySelector('.talk');
    const on = event.target;
    if (!talk || guide.open || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === ' ' && on.closest('button, a, summary, input')) return false;
    if (event.key === '.' && shortcuts.checked) { toMark(); return true; }
    const page = talk.clientHeight * 0.85;
    const far = { PageDown: page, PageUp: -page, ' ': event.shiftKey ? -page : page, ArrowDown: 48, ArrowUp: -48, Home: -1e9, End: 1e9 }[event.key];
    if (far === undefined) return false;
    const places = [talk, stage.querySelector('.side'), document.scrollingElement];
    places.find((place) => place.scrollHeight > place.clientHeight + 1 && (place !== talk || getComputedStyle(talk).overflowY === 'auto'))?.scrollBy(0, far);
    return true;
  }

  // --- around it --------------------------------------------------------------------------------------------------
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) hiddenAt = performance.now();
    else { away += performance.now() - hiddenAt; alive(); }
  });
  addEventListener('online', flush);
  addEventListener('storage', () => { if (!waiting().length) banner(''); });
  async function alive() {  // renews the leases of the cards that this page holds
    if (document.hidden || !card() || card().classList.contains('revealed') && !ahead.length) return;
    const form = new URLSearchParams({ form: stage.dataset.form });
    for (const item of [card().dataset.item, ...ahead.map(idOf)]) form.append('item', item);
    try { await fetch('alive', { method: 'POST', body: form, signal: AbortSignal.timeout(GIVE_UP_MS) }); } catch { /* the next answer tells */ }
  }
  setInterval(alive, ALIVE_MS);

  shortcuts.checked = store.read('/shortcuts', true);
  shortcuts.addEventListener('change', () => store.write('/shortcuts', shortcuts.checked));
  shortcuts.closest('label').hidden = false;
  const first = document.getElementById('ahead');
  if (first) ahead.push(first.innerHTML.trim());
  shownAt = performance.now();
  settle();
  if (waiting().length) flush();
})();
