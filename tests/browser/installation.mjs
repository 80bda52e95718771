// A technician installs a new gateway, by clicks and typing alone, from the first power-up to the first reading that its
// supplier pulls. At every step the power is cut, and another phone goes on; at every step the card is pulled.
//
// Environment: beside that of `looking.mjs` TECHNICIAN and CONSUMER, the passwords of the label; MBUS and MODBUS, where the
// meters are; GUID, of the card; ORDERS, the socket of whoever can do what no browser can.
import { CHOSEN, PATIENCE, WEB, begin, carryOut, check, choose, logIn, look, open, send, stateOf, tell, waitForEnd } from './looking.mjs';
import { LONG, SCRIPT, mistakes, stopped } from './mistakes.mjs';
import { ordersTo } from './orders.mjs';

const { TECHNICIAN, CONSUMER, MBUS, MODBUS, GUID, ORDERS } = process.env;
const { order, dismiss } = ordersTo(ORDERS);

// One phone after the other: each language, screen and scheme.
const PHONES = [
  ['de-DE', 'phone', 'light'],
  ['en-GB', 'phone', 'dark'],
  ['de-DE', 'desktop', 'dark'],
  ['en-GB', 'desktop', 'light'],
];
/** The most stops of the keyboard on a page. */
const MOST_STOPS = 120;

let opened = 0;
/** Whether the gateway has its card, and serves it soon behind each start. */
let isBound = false;
/** The phone in use: its page, its context and its language. */
let phone;

/** Takes the next phone, and puts the one before away. */
async function takePhone(browser) {
  const [language, screen, scheme] = PHONES[opened % PHONES.length];
  opened += 1;
  if (phone) await phone.context.close();
  phone = { ...(await open(browser, language, screen, scheme)), lang: language.slice(0, 2) };
  return phone.page;
}

/** Cuts the power, and goes on with another phone, on which a step is in the state in which it was left. */
async function cutPower(browser, step, state) {
  await order('power-cut');
  if (isBound) await order('bound');
  const page = await takePhone(browser);
  await page.goto(`${WEB}/wizard/${step}`);
  check(page.url() === `${WEB}/login`, `behind a power cut nobody is logged in, and ${step} leads to ${page.url()}`);
  await logIn(page, 'technician', CHOSEN);
  const now = await stateOf(page, step);
  check(now === state, `behind a power cut ${step} is ${now}, and was ${state}`);
  await look(page, `resumed-${step}-${opened}`);
  return page;
}

/** Checks a step with the card out of its reader: a clear answer, and the same step is as before once the card is back. */
async function withoutCard(page, step) {
  await order('card', 'remove');
  await carryOut(page, step);
  const text = await page.innerText('#content');
  await look(page, `${step}-without-card`);
  await order('card', 'insert');
  return text;
}

/** Looks at the card until the reader has noticed that it is back. */
async function untilCardIsSeen(page) {
  for (let tries = 0; tries < 60; tries += 1) {
    await carryOut(page, 'card');
    if ((await page.getAttribute('#progress dd span', 'class')) === 'good') return;
  }
  check(false, 'the card that is back is not seen');
}

/** Goes on by the keyboard until it is at an element, which shows that it is there. */
async function tabTo(page, selector) {
  for (let stops = 0; stops < MOST_STOPS; stops += 1) {
    await page.keyboard.press('Tab');
    const found = await page.evaluate((selector) => {
      const at = document.activeElement;
      return { isThere: at?.matches(selector), isSeen: getComputedStyle(at).outlineStyle !== 'none', what: at?.outerHTML.slice(0, 80) };
    }, selector);
    check(found.isSeen || found.what.startsWith('<body'), `the keyboard is at ${found.what}, and nobody sees it`);
    if (found.isThere) return;
  }
  check(false, `the keyboard never gets to ${selector} on ${page.url()}`);
}

/** Types into a field, by the keyboard. */
async function typeInto(page, selector, text) {
  await tabTo(page, selector);
  await page.keyboard.press('Control+A');
  await page.keyboard.type(text);
}

/** Presses a key that leads to another page. */
async function press(page, key) {
  await Promise.all([page.waitForNavigation(), page.keyboard.press(key)]);
}

/** The first power-up: the password of the label lets nobody in further than to its change. */
async function firstLogin(browser) {
  const page = await takePhone(browser);
  await begin(page, 'technician', TECHNICIAN);
  await page.goto(`${WEB}/wizard`);
  check(page.url() === `${WEB}/password`, `the first password is good for ${page.url()}`);
  const on = (good, wrong) => mistakes(page, { path: '/password', form: '/password', good, wrong, lang: phone.lang, kept: false });
  await on({ old: TECHNICIAN, new: 'nine red buses' }, { again: ['nine red bikes', LONG] });
  await page.goto(`${WEB}/password`);
  await choose(page, TECHNICIAN, CHOSEN);
  check(page.url() === `${WEB}/device`, `the chosen password leads to ${page.url()}`);
  for (const step of ['device', 'card', 'bus', 'meters', 'binding', 'wan', 'report']) {
    check((await stateOf(page, step)) === 'soft', `${step} has been done before the installation`);
  }
  await look(page, 'new-overview');
  for (const step of ['bus', 'meters', 'binding']) {
    await page.goto(`${WEB}/wizard/${step}`);
    await look(page, `new-${step}`);
  }
  await carryOut(page, 'meters');
  check((await stateOf(page, 'meters')) === 'stale', 'no meters at all are as they should be');
}

async function deviceAndCard(browser) {
  let page = await cutPower(browser, 'meters', 'stale');
  await withoutCard(page, 'device');
  const reason = { path: '/wizard/device', form: '/wizard/device/skip', good: {}, lang: phone.lang };
  await mistakes(page, { ...reason, behind: 'summary', wrong: { reason: ['', '   ', LONG] } });
  await carryOut(page, 'device');
  const state = await stateOf(page, 'device');
  page = await cutPower(browser, 'device', state);

  const pulled = await withoutCard(page, 'card');
  check(pulled.includes('SMGW-C-'), `a card that was pulled is told as ${pulled}`);
  check((await stateOf(page, 'card')) === 'stale', 'a card that was pulled is good');
  await untilCardIsSeen(page);
  const text = await page.innerText('#content');
  check(text.includes(GUID), `the card is shown as ${text}`);
  await look(page, 'card-good');
  return cutPower(browser, 'card', 'good');
}

/** Scans by the keyboard alone. */
async function scanByKeyboard(page, endpoint, [first, last]) {
  await page.goto(`${WEB}/wizard/bus`);
  await typeInto(page, '#endpoint', endpoint);
  await typeInto(page, '#first', first);
  await typeInto(page, '#last', last);
  await press(page, 'Enter');
}

async function bus(browser, page) {
  const form = { path: '/wizard/bus', form: '/wizard/bus/scan' };
  await stopped(page, { ...form, field: 'endpoint' });
  const good = { protocol: 'mbus', endpoint: MBUS, tries: '2', first: '1', last: '4' };
  const wrong = {
    protocol: ['dlms'],
    endpoint: ['', 'cellar', 'tcp:', `tcp:${LONG}:1`, SCRIPT],
    baud: ['1'],
    latency: ['1'],
    tries: ['', '0', 'x', LONG],
    first: ['', '-1', '5', SCRIPT],
    last: ['', '251', '0x4', LONG],
  };
  await mistakes(page, { ...form, good, wrong, lang: phone.lang });
  await scanByKeyboard(page, MBUS, ['1', '250']);
  await page.waitForSelector('#progress[data-running] section', PATIENCE);
  await order('card', 'remove');
  await look(page, 'bus-running');
  // Nobody asks the card for a scan. It is ended by the keyboard, which stays where it is while the page changes.
  await tabTo(page, 'form[action="/wizard/bus/cancel"] button');
  await page.waitForFunction((asked) => document.querySelector('#progress progress')?.value > asked, await page.$eval('#progress progress', (one) => one.value), PATIENCE);
  check(await page.evaluate(() => document.activeElement?.matches('form[action="/wizard/bus/cancel"] button')), 'the keyboard has lost its place on a page that is watched');
  await press(page, 'Enter');
  await waitForEnd(page);
  await look(page, 'bus-cancelled');
  await order('card', 'insert');
  await scanByKeyboard(page, MBUS, ['1', '250']);
  await page.waitForSelector('#progress[data-running] section', PATIENCE);
  await order('power-cut');
  await page.waitForURL(`${WEB}/login`, PATIENCE);
  await logIn(page, 'technician', CHOSEN);
  check((await stateOf(page, 'bus')) === 'stale', 'a scan that the power cut has ended is not told as interrupted');
  await scanByKeyboard(page, MBUS, ['1', '4']);
  await waitForEnd(page);
  check((await page.$$('#progress section')).length === 3, 'a scan has not found the three meters');
  await look(page, 'bus-found');
  return cutPower(browser, 'bus', 'good');
}

/** Installs a meter from the list of what was found. */
async function installFound(page, address, fields) {
  await page.goto(`${WEB}/wizard/bus`);
  await send(page, `a[href*="address=${address}&"]`);
  for (const [field, text] of Object.entries(fields)) await page.fill(`#${field}`, text);
  await send(page, 'form[action="/wizard/meters/install"] button');
  check(page.url() === `${WEB}/wizard/meters`, `a meter is refused: ${await page.innerText('#content')}`);
}

async function meters(browser, page) {
  const form = { path: '/wizard/meters', form: '/wizard/meters/install', lang: phone.lang };
  await stopped(page, { ...form, field: 'name' });
  const gas = { name: 'gas', endpoint: MBUS, bus: 'cellar', address: '1', id: 'ELS-40615273-3C-03', point: `DE${'0'.repeat(26)}12345` };
  await mistakes(page, {
    ...form,
    good: gas,
    wrong: {
      name: ['', '   ', LONG],
      protocol: ['dlms'],
      endpoint: ['', 'cellar', SCRIPT, LONG],
      bus: ['', LONG],
      address: ['', '251', 'x', SCRIPT, LONG],
      id: ['', SCRIPT],
      point: ['DE1', SCRIPT, LONG],
      consumer: ['somebody'],
    },
  });
  await installFound(page, 1, { name: SCRIPT.slice(0, 40), bus: 'cellar' });
  await look(page, 'meters-one');
  await send(page, 'form[action="/wizard/meters/remove"] button');
  await installFound(page, 1, { name: 'gas', bus: 'cellar', point: gas.point });
  page = await cutPower(browser, 'meters', 'stale');
  await page.goto(`${WEB}/wizard/meters`);
  check((await page.innerText('#content')).includes(gas.point), 'the metering point is not where it was entered');
  await installFound(page, 2, { name: 'water' });
  await page.goto(`${WEB}/wizard/bus`);
  await page.selectOption('#protocol', 'modbus');
  await page.fill('#endpoint', MODBUS);
  await page.fill('#first', '1');
  await page.fill('#last', '1');
  await send(page, 'form[action="/wizard/bus/scan"] button');
  await waitForEnd(page);
  await look(page, 'bus-modbus');
  await installFound(page, 1, { name: 'electricity', bus: 'board' });
  await send(page, 'form[action="/wizard/meters/restart"] button');
  await page.waitForURL(`${WEB}/login`, PATIENCE);
  await logIn(page, 'technician', CHOSEN);

  await order('measures-on');
  await order('card', 'remove');
  await order('measures-on');
  for (const name of ['gas', 'water', 'electricity']) {
    await page.goto(`${WEB}/wizard/meters`);
    await send(page, `form[action="/wizard/meters/compare"]:has([value="${name}"]) button[value="yes"]`);
  }
  await carryOut(page, 'meters');
  await look(page, 'meters-good');
  await order('card', 'insert');
  return cutPower(browser, 'meters', 'good');
}

/** Opens the page of the binding until the card in the reader may be bound. */
async function untilReady(page) {
  for (let tries = 0; tries < 60; tries += 1) {
    await page.goto(`${WEB}/wizard/binding`);
    if (await page.$('#characters')) return;
  }
  check(false, `it is never ready to be bound: ${await page.innerText('#content')}`);
}

async function binding(browser, page) {
  const form = { path: '/wizard/binding', form: '/wizard/binding/confirm', lang: phone.lang, good: {} };
  await untilReady(page);
  check((await page.innerText('#content')).includes(GUID), 'the page of the binding does not read back the GUID');
  await stopped(page, { ...form, field: 'characters' });
  await mistakes(page, { ...form, wrong: { characters: ['', 'zzzz', '<br>', '12345', '0000', LONG, SCRIPT] } });

  // Pulled while the page stands open: nothing is bound, and nothing that was typed is lost.
  await untilReady(page);
  await order('card', 'remove');
  await typeInto(page, '#characters', GUID.slice(-4));
  await press(page, 'Enter');
  check((await page.getAttribute('#characters', 'aria-invalid')) === 'true', 'nothing says at the field that the card is not there');
  check((await page.inputValue('#characters')) === GUID.slice(-4), 'the characters are lost with the card');
  await look(page, 'binding-without-card');
  check((await stateOf(page, 'binding')) === 'soft', 'a card that is not there is bound');
  await page.goto(`${WEB}/wizard/binding`);
  check(!(await page.$('#characters')), 'a card that is not there is offered for the binding');
  await order('measures-on');
  await order('card', 'insert');

  // Pulled in the middle: the gateway has begun, and the card may know it already or not.
  await untilReady(page);
  await order('card', 'delay 3000');
  await typeInto(page, '#characters', GUID.slice(-4));
  const sent = page.waitForNavigation(PATIENCE);
  await page.keyboard.press('Enter');
  await order('pull-while-binding');
  await sent;
  await page.goto(`${WEB}/wizard/binding`);
  await waitForEnd(page);
  await look(page, 'binding-begun');
  await order('measures-on');
  page = await cutPower(browser, 'binding', 'stale');
  await page.goto(`${WEB}/wizard/binding`);
  const begun = await page.innerText('#content');
  check(/Insert the same card again|Stecken Sie dieselbe Karte wieder ein/.test(begun), `a binding that has begun is told as ${begun}`);
  // The same card, and the gateway brings it to its end by itself.
  await order('card', 'insert');
  await order('bound');
  isBound = true;
  await page.goto(`${WEB}/wizard/binding`);
  check(!(await page.$('#characters')), 'a card that is bound can be bound again');
  await look(page, 'binding-done');
  return cutPower(browser, 'binding', 'good');
}

async function wanAndReport(browser, page) {
  await carryOut(page, 'wan');
  check((await stateOf(page, 'wan')) === 'stale', 'the WAN is good before the TSM has been here');
  await look(page, 'wan-before-the-tsm');
  page = await cutPower(browser, 'wan', 'stale');
  await order('tsm');
  await carryOut(page, 'wan');
  await look(page, 'wan-good');
  check((await stateOf(page, 'wan')) === 'good', 'the WAN is not good behind the first contact');
  await carryOut(page, 'report');
  check(Boolean(await page.$('figure.code svg')), 'the report has no QR code');
  await look(page, 'report');
  const signed = await page.innerText('article');
  page = await cutPower(browser, 'report', await stateOf(page, 'report'));
  await page.goto(`${WEB}/wizard/report`);
  const digest = /[0-9a-f]{64}/;
  check(digest.test(signed) && (await page.innerText('article')).includes(signed.match(digest)[0]), 'the report is another one behind a power cut');
  return page;
}

/** The supplier pulls, and the consumer sees it. */
async function firstReading(browser) {
  const { supplier } = await order('pull');
  const { context, page } = await open(browser, 'de-DE', 'phone', 'dark');
  await begin(page, 'consumer', CONSUMER);
  await choose(page, CONSUMER, CHOSEN);
  await page.goto(`${WEB}/recipients`);
  check((await page.innerText('table')).includes(supplier), 'the consumer does not see who has pulled');
  await look(page, 'first-reading');
  await context.close();
}

/** The bound card is pulled for good: that is the end of this gateway, and every page says what to do. Metering goes on. */
async function theEnd(page) {
  await page.goto(`${WEB}/wizard/wan`);
  await order('card', 'remove');
  await order('given-up');
  for (const step of ['wan', 'card', 'report']) {
    await carryOut(page, step);
    const isGood = (await page.getAttribute('#progress dd span', 'class')) === 'good';
    // There is a report all the same, and it says that nobody has signed it.
    const told = step === 'report' ? /Not signed|Nicht signiert/.test(await page.innerText('#content')) : !isGood;
    check(told, `${step} is good without the bound card`);
    await look(page, `pulled-${step}`);
  }
  for (const path of ['/wizard/binding', '/device']) {
    await page.goto(`${WEB}${path}`);
    check((await page.innerText('#content')).includes('taken out while the gateway ran'), `${path} does not say that the card was pulled`);
    await look(page, `pulled${path.replaceAll('/', '-')}`);
  }
  await order('measures-on');
}

await tell(async (browser) => {
  await firstLogin(browser);
  let page = await deviceAndCard(browser);
  page = await bus(browser, page);
  page = await meters(browser, page);
  page = await binding(browser, page);
  page = await wanAndReport(browser, page);
  await firstReading(browser);
  await theEnd(page);
});
dismiss();
