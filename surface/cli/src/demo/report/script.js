'use strict';
const at = (list, step) => (list[step] === undefined || list[step] === null ? '–' : list[step]);

function readout(chart, step) {
  const parts = run.policies.map(
    (policy) => `${policy.name} ${at(policy.ready, step)}/${at(policy.wanted, step)} ready, ` +
      `p99 ${at(policy.p99, step)} ms`);
  chart.nextElementSibling.textContent =
    `minute ${step}: ${at(run.offered, step)} requests/s; ${parts.join('; ')}`;
}

function point(chart, x) {
  const [, , width] = chart.getAttribute('viewBox').split(' ').map(Number);
  const left = Number(chart.dataset.left);
  const right = width - Number(chart.dataset.right);
  const steps = run.offered.length;
  const step = Math.floor(((x - left) / (right - left)) * steps);
  if (step < 0 || step >= steps) return;
  const cursor = chart.querySelector('.cursor');
  const middle = left + ((step + 0.5) / steps) * (right - left);
  cursor.setAttribute('d', `M${middle} ${cursor.dataset.top}V${cursor.dataset.bottom}`);
  readout(chart, step);
}

for (const chart of document.querySelectorAll('.chart')) {
  chart.addEventListener('pointermove', (event) => {
    if (event.target.classList.contains('deed')) return;
    const box = chart.getBoundingClientRect();
    const [, , width] = chart.getAttribute('viewBox').split(' ').map(Number);
    point(chart, ((event.clientX - box.left) / box.width) * width);
  });
}

for (const deed of document.querySelectorAll('.deed')) {
  const row = document.getElementById(`action-${deed.dataset.action}`);
  const lit = (on) => row && row.classList.toggle('lit', on);
  const tell = () => {
    deed.closest('.chart').nextElementSibling.textContent = deed.getAttribute('aria-label');
    lit(true);
  };
  deed.addEventListener('pointerenter', tell);
  deed.addEventListener('focus', tell);
  deed.addEventListener('pointerleave', () => lit(false));
  deed.addEventListener('blur', () => lit(false));
}
