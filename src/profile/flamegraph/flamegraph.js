
'use strict';
{
  const SVG = 'http://www.w3.org/2000/svg';
  const HTML = 'http://www.w3.org/1999/xhtml';
  const svg = document.currentScript.closest('svg');
  const container = svg.querySelector('.frames');
  const header = svg.querySelector('.header');
  const status = svg.querySelector('.status');

  const make = (parent, space, name, attributes = {}) => {
    const element = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };

  // The tree, from what is drawn: places in percent, parents by what lies above. Titles move into `aria-label`s and our own tool
  // tips, or the browser's would come up as well.
  const rows = [];
  const frameOf = new Map();
  for (const [depth, row] of [...svg.querySelectorAll('.row')].entries()) {
    let above = 0;
    rows.push([...row.children].map((node) => {
      const [title, rect, text] = node.children;
      const [name, figures] = title.textContent.split('\n');
      title.remove();
      const frame = { node, rect, text, name, figures, depth, children: [], label: null };
      frame.amount = figures.split(' \u00b7 ')[0];
      frame.x = parseFloat(rect.getAttribute('x'));
      frame.width = parseFloat(rect.getAttribute('width'));
      frame.middle = frame.x + frame.width / 2;
      if (depth > 0) {
        const candidates = rows[depth - 1];
        while (above < candidates.length - 1 && candidates[above].x + candidates[above].width < frame.middle) above += 1;
        frame.parent = candidates[above];
        frame.parent.children.push(frame);
      }
      frameOf.set(node, frame);
      return frame;
    }));
  }
  const frames = rows.flat();
  const root = frames[0];
  const reading = status.textContent;
  let zoomed = root;

  // From here on the graph is as wide as the window.
  svg.removeAttribute('viewBox');
  svg.setAttribute('width', '100%');
  container.classList.add('live');
  const probe = make(container, SVG, 'text');
  probe.textContent = 'm'.repeat(100);
  const character = probe.getComputedTextLength() / 100 || 7.2;
  probe.remove();

  // What fits of a name: all; all but the file's folders; the last parts of the path with file and line, or with the line; the
  // last parts alone; the start of the last part.
  const shortened = (name, room) => {
    const columns = /[^\u0000-\u02ff\u2026]/.test(name) ? Math.floor(room / 2) : room;
    const [, path, line = ''] = name.match(/^(.*?)( \([^()]*:\d+\))?$/);
    const brief = line.replace(/\(.*[/\\]/, '(');
    const number = line.replace(/.*(:\d+)\)/, '$1');
    const starts = [];
    for (let at = 0, nested = 0; at < path.length; at += 1) {
      if ('<([{'.includes(path[at])) nested += 1;
      if ('>)]}'.includes(path[at]) && path[at - 1] !== '-') nested -= 1;
      // A closure is told by the function around it.
      if (nested === 0 && path.startsWith('::', at) && path[at + 2] !== '{') starts.push(at + 2);
    }
    // `<a::b::C as d::E>::f` has its paths inside: `<C as E>::f`.
    const plain = path.startsWith('<') ? path.replace(/(\w+::)+(?=\w)/g, '') : path;
    const paths = [path, plain, ...starts.map((start) => '\u2026' + path.slice(start))];
    const candidates = [name, ...[brief, number, ''].flatMap((end) => paths.map((text) => text + end))];
    return candidates.find((text) => text.length <= columns)
      ?? path.slice(starts.at(-1) ?? 0).slice(0, Math.max(columns - 1, 1)) + '\u2026';
  };

  const write = (frame, width) => {
    const room = Math.floor((width - 8) / character);
    const full = `${frame.name} ${frame.amount}`;
    const label = room < 4 ? '' : full.length <= room ? full : shortened(frame.name, room);
    if (label === frame.label) return;
    frame.label = label;
    frame.text ??= make(frame.node, SVG, 'text', { dx: 4, y: 13 });
    frame.text.textContent = label === full ? frame.name : label;
    if (label === full) make(frame.text, SVG, 'tspan', { dx: 7 }).textContent = frame.amount;
  };

  const draw = () => {
    const pixels = svg.getBoundingClientRect().width / 100;
    const ancestors = new Set();
    for (let frame = zoomed.parent; frame; frame = frame.parent) ancestors.add(frame);
    for (const frame of frames) {
      const inside = frame.depth >= zoomed.depth && frame.middle >= zoomed.x && frame.middle <= zoomed.x + zoomed.width;
      const above = ancestors.has(frame);
      frame.shown = inside || above;
      frame.node.style.display = frame.shown ? '' : 'none';
      frame.node.classList.toggle('above', above);
      if (!frame.shown) continue;
      const x = above ? 0 : (frame.x - zoomed.x) / zoomed.width * 100;
      const width = above ? 100 : frame.width / zoomed.width * 100;
      frame.rect.setAttribute('x', `${x}%`);
      frame.rect.setAttribute('width', `${width}%`);
      write(frame, width * pixels);
      frame.text?.setAttribute('x', `${x}%`);
    }
  };

  // Controls. SVG has no input field of its own.
  const box = make(header, SVG, 'foreignObject', { width: 520, height: 40, y: 6 });
  const controls = make(box, HTML, 'div', { class: 'controls' });
  const found = make(controls, HTML, 'output');
  const search = make(controls, HTML, 'input', {
    type: 'search', placeholder: 'Search (regex)', 'aria-label': 'search frames by regular expression',
    title: 'Ctrl-F or /', spellcheck: 'false', autocomplete: 'off',
  });
  const reset = make(controls, HTML, 'button', { type: 'button', title: 'Escape' });
  reset.textContent = 'Reset zoom';

  const zoom = (frame) => {
    zoomed = frame;
    reset.disabled = frame === root;
    status.textContent = frame === root ? reading : `${frame.name}: ${frame.figures}`;
    hideTip();
    draw();
  };

  const look = () => {
    const wanted = search.value;
    let pattern = null;
    let problem = '';
    try {
      pattern = wanted ? new RegExp(wanted, 'i') : null;
    } catch {
      problem = 'not a regular expression';
    }
    let share = 0;
    let count = 0;
    for (const frame of frames) {
      const matches = pattern !== null && pattern.test(frame.name);
      // What lies below a match is counted with it.
      frame.covered = matches || Boolean(frame.parent?.covered);
      if (matches) count += 1;
      if (matches && !frame.parent?.covered) share += frame.width;
      frame.node.classList.toggle('match', matches);
    }
    container.classList.toggle('searching', pattern !== null);
    search.setAttribute('aria-invalid', String(problem !== ''));
    found.textContent = pattern === null ? problem
      : count === 0 ? 'no match' : `${share.toFixed(1)} % of all, ${count} frame${count === 1 ? '' : 's'}`;
  };

  // The tool tip: beside the pointer, or below the frame that has the focus.
  const tips = make(svg, SVG, 'foreignObject', { class: 'tips', width: 1, height: 1 });
  const tip = make(tips, HTML, 'div', { class: 'tip' });
  const tipName = make(tip, HTML, 'b');
  const tipFigures = make(tip, HTML, 'span');
  const hideTip = () => { tips.style.display = 'none'; };
  const showTip = (frame, x, y, over) => {
    tips.style.display = '';
    tipName.textContent = frame.name;
    tipFigures.textContent = frame.figures;
    const area = svg.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.max(4, Math.min(x, area.right - size.width - 8));
    const top = y + size.height + 4 > innerHeight ? Math.max(4, over - size.height) : y;
    tips.setAttribute('x', left - area.left);
    tips.setAttribute('y', top - area.top);
  };
  const at = (event) => frameOf.get(event.target.closest?.('.row > g'));

  // One frame is in the order of the Tab key; the arrows go on from there.
  let current = root;
  const describe = (frame) => {
    current.node.removeAttribute('tabindex');
    current = frame;
    frame.node.setAttribute('tabindex', '0');
    frame.node.setAttribute('role', 'treeitem');
    frame.node.setAttribute('aria-level', frame.depth + 1);
    frame.node.setAttribute('aria-label', `${frame.name}, ${frame.figures}`);
  };
  const move = (frame) => {
    if (!frame?.shown) return;
    describe(frame);
    frame.node.focus();
    const place = frame.rect.getBoundingClientRect();
    const bottom = header.firstElementChild.getBoundingClientRect().bottom;
    if (place.top < bottom) scrollBy(0, place.top - bottom - 8);
  };
  const widest = (list) => list.reduce((best, frame) => (best && best.width >= frame.width ? best : frame), undefined);
  const beside = (frame, step) => {
    const row = rows[frame.depth].filter((other) => other.shown);
    return row[row.indexOf(frame) + step];
  };
  const keys = {
    ArrowUp: (frame) => move(frame.parent),
    ArrowDown: (frame) => move(widest(frame.children.filter((child) => child.shown))),
    ArrowLeft: (frame) => move(beside(frame, -1)),
    ArrowRight: (frame) => move(beside(frame, 1)),
    Home: () => move(root),
    Enter: (frame) => { zoom(frame); move(frame); },
    ' ': (frame) => { zoom(frame); move(frame); },
  };

  container.addEventListener('click', (event) => {
    const frame = at(event);
    if (!frame) return;
    describe(frame);
    frame.node.focus({ preventScroll: true });
    zoom(frame);
  });
  container.addEventListener('pointermove', (event) => {
    const frame = at(event);
    if (frame) showTip(frame, event.clientX + 12, event.clientY + 18, event.clientY - 8);
    else hideTip();
  });
  container.addEventListener('pointerleave', hideTip);
  // On the window: Chromium would put a group that listens for focus into the order of the Tab key.
  addEventListener('focusin', (event) => {
    const frame = at(event);
    if (!frame || !frame.node.matches(':focus-visible')) return;
    const place = frame.rect.getBoundingClientRect();
    showTip(frame, place.left + 12, place.bottom + 6, place.top - 6);
  });
  addEventListener('focusout', hideTip);
  container.addEventListener('keydown', (event) => {
    const frame = at(event);
    const action = keys[event.key];
    if (!frame || !action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action(frame);
  });
  search.addEventListener('input', look);
  reset.addEventListener('click', () => zoom(root));
  addEventListener('keydown', (event) => {
    const find = event.key === '/' || (event.key.toLowerCase() === 'f' && (event.ctrlKey || event.metaKey));
    if (find && document.activeElement !== search) {
      // A second Ctrl-F is the browser's.
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === 'Escape') {
      if (search.value) {
        search.value = '';
        look();
      } else {
        zoom(root);
      }
    }
  });

  const place = () => {
    box.setAttribute('x', Math.max(0, svg.getBoundingClientRect().width - 530));
    const above = -svg.getBoundingClientRect().top;
    header.setAttribute('transform', `translate(0 ${Math.max(0, above)})`);
  };
  addEventListener('scroll', place, { passive: true });
  addEventListener('resize', () => { place(); draw(); });

  container.setAttribute('role', 'tree');
  container.setAttribute('aria-label', 'call tree');
  describe(root);
  place();
  zoom(root);
  look();
}
