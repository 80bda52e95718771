// The local web in a real browser: both languages, phone and desktop, light and dark, by keyboard too, and what is typed
// wrongly. What is looked at is looked at as `looking.mjs` does.
//
// Environment: beside that of `looking.mjs` CONSUMER and TECHNICIAN, first passwords.
import { CHOSEN, PATIENCE, WEB, begin, carryOut, check, choose, faults, logIn, look, open, send, tell, waitForEnd } from './looking.mjs';
import { LONG, SCRIPT, checkLanguages, checkMessage, mistakes, stopped } from './mistakes.mjs';

const { CONSUMER, TECHNICIAN } = process.env;
// Each language, screen and scheme with each of the others once.
const VIEWS = [
  ['de-DE', 'phone', 'light'],
  ['de-DE', 'desktop', 'dark'],
  ['en-GB', 'phone', 'dark'],
  ['en-GB', 'desktop', 'light'],
];
const PAGES = {
  consumer: [
    '/now',
    '/history?by=day',
    '/history?by=week',
    '/history?by=month',
    '/history?by=year',
    '/costs',
    '/costs?from=2026-01-01&to=2026-12-31&billed=10',
    '/recipients',
    '/tokens',
    '/password',
  ],
  technician: [
    '/device',
    '/password',
    '/history',
    '/wizard',
    '/wizard/device',
    '/wizard/card',
    '/wizard/bus',
    '/wizard/meters',
    '/wizard/binding',
    '/wizard/wan',
    '/wizard/report',
  ],
};

/** Logs in for the first time in a browser of its own. */
async function arrive(browser, account, first) {
  const { context, page } = await open(browser, 'de-DE', 'phone', 'light');
  await begin(page, account, first);
  await choose(page, first, CHOSEN);
  await context.close();
}

/** Comes to the content by keyboard alone. */
async function walk(page) {
  await page.goto(`${WEB}/now`);
  await page.keyboard.press('Tab');
  const first = await page.evaluate(() => document.activeElement?.getAttribute('href'));
  if (first !== '#content') faults.push(`the first stop of the keyboard is ${first}`);
  await page.keyboard.press('Enter');
  const at = await page.evaluate(() => document.activeElement?.id);
  if (at !== 'content') faults.push(`the link to the content leads to ${at}`);
}

/** Makes a token, and restricts and lifts, as a consumer does. */
async function act(page, lang) {
  await page.goto(`${WEB}/tokens`);
  await page.fill('#name', `display ${lang}`);
  await page.press('#name', 'Enter');
  await page.waitForSelector('[role=status] code');
  await look(page, `token-made-${lang}`);
  await page.goto(`${WEB}/recipients`);
  await page.selectOption('#effect', 'day');
  await page.click('form[action="/recipients/restrict"] button');
  await page.waitForSelector('form[action="/recipients/lift"] button');
  await look(page, `restricted-${lang}`);
  await page.click('form[action="/recipients/lift"] button');
  await page.waitForLoadState();
  if (await page.$('form[action="/recipients/lift"]')) faults.push('a restriction was not lifted');
  await page.goto(`${WEB}/costs`);
  await page.fill('#name', 'night');
  await page.fill('#price', '0,3512');
  await page.fill('#begins', '22:00');
  await page.fill('#ends', '06:00');
  await page.press('#price', 'Enter');
  await page.waitForSelector('form[action="/costs/price/remove"] button');
  await look(page, `priced-${lang}`);
  await page.click('form[action="/costs/price/remove"] button');
  await page.waitForLoadState();
  if (await page.$('form[action="/costs/price/remove"]')) faults.push('a price was not removed');
  await page.goto(`${WEB}/now`);
  const isLive = () => document.getElementById('live').textContent !== '';
  await page.waitForFunction(isLive).catch(() => faults.push('no value came by itself'));
}

/** Types wrongly whatever a consumer can type, and asks for what is not there. */
async function err(page, lang) {
  const on = (path, form, good, wrong, more = {}) => mistakes(page, { path, form, good, wrong, lang, ...more });
  await stopped(page, { path: '/password', form: '/password', field: 'old' });
  const weak = ['', 'short', CHOSEN, 'consumer-12', LONG];
  for (const bad of weak) {
    await on('/password', '/password', { old: CHOSEN, again: bad }, { new: [bad] }, { kept: false, isShown: false });
  }
  const passwords = { old: CHOSEN, new: 'nine red buses', again: 'nine red buses' };
  await on('/password', '/password', passwords, { old: ['not the password'], again: ['nine red bikes'] }, { kept: false });
  await stopped(page, { path: '/tokens', form: '/tokens', field: 'name' });
  await on('/tokens', '/tokens', {}, { name: ['', '   ', LONG] });
  await stopped(page, { path: '/costs', form: '/costs/price', field: 'name' });
  const price = { name: 'night', price: '0,3512', currency: 'EUR', from: '22:00', to: '06:00' };
  await on('/costs', '/costs/price', price, {
    name: ['', LONG],
    price: ['', 'free', '-1', '1,2,3', SCRIPT, LONG],
    currency: ['', LONG],
    days: ['never'],
    to: ['22:00', '25:00', SCRIPT],
  });
  await on('/costs', '/costs', { billed: '10', amount: '2,5' }, { billed: ['many', SCRIPT], amount: ['-', LONG] });
  const days = { from: ['yesterday'], to: ['2026-02-30', '2026-01-31'] };
  await on('/costs', '/costs', { from: '2026-02-01' }, days, { kept: false, isShown: false });
  // What no page offers is answered by a page all the same.
  const refused = {
    '/history?element=nothing': 'an element that is none',
    '/history?element=M1%2F1-0:1.8.0*255': 'an element that is not there',
    '/recipients?before=never': 'a number that is none',
    '/%ff': 'an address that is none',
  };
  for (const [path, name] of Object.entries(refused)) {
    await page.goto(`${WEB}${path}`);
    await checkMessage(page, name, lang);
  }
  await page.goto(`${WEB}/recipients`);
  await page.$eval('#effect', (field) => (field.options[0].value = 'everything'));
  await send(page, 'form[action="/recipients/restrict"] button');
  await checkMessage(page, 'an effect that is none', lang);
  await page.goto(`${WEB}/tokens`);
  await page.$eval('#name', (field) => {
    field.removeAttribute('maxlength');
    field.value = 'x'.repeat(20_000);
  });
  await send(page, 'form[action="/tokens"] button');
  await checkMessage(page, 'a form that is too long', lang);
  // A phone loads a page again that it had forgotten: the one of a form leads to the page with the form.
  await page.goto(`${WEB}/costs/price/remove`);
  check(page.url() === `${WEB}/costs`, `the address of a form leads to ${page.url()}`);
}

/** Tries passwords until the gate stays shut for a while, and says for how long. */
async function lockOut(browser, lang) {
  const { context, page } = await open(browser, lang, 'phone', 'dark');
  let answer;
  for (let tries = 0; tries < 12 && answer?.status() !== 429; tries += 1) {
    await page.goto(`${WEB}/login`);
    await page.fill('#account', SCRIPT.slice(0, 25));
    await page.fill('#password', 'not the password');
    [answer] = await Promise.all([page.waitForNavigation(), page.press('#password', 'Enter')]);
  }
  const told = await page.textContent('#fault');
  const seconds = answer.headers()['retry-after'];
  check(answer.status() === 429 && told.includes(seconds), `too many tries: ${answer.status()}, ${told}, ${seconds}`);
  check((await page.inputValue('#account')) === SCRIPT.slice(0, 25), 'the account of too many tries is lost');
  await look(page, `too-often-${lang}`);
  await context.close();
}

/** Walks through the installation on a phone: every step, and bad input at the fields. */
async function install(page, lang) {
  for (const step of ['device', 'card', 'meters', 'wan']) {
    await carryOut(page, step);
    await look(page, `wizard-${step}-done-${lang}`);
  }
  await page.goto(`${WEB}/wizard/bus`);
  await page.fill('#endpoint', 'cellar');
  await send(page, 'form[action="/wizard/bus/scan"] button');
  if ((await page.getAttribute('#endpoint', 'aria-invalid')) !== 'true') faults.push('a bad endpoint is not told at its field');
  await look(page, `wizard-bus-bad-${lang}`);
  // Nobody listens there, and that is told; the lines of the house are read too often to be shared.
  await page.fill('#endpoint', 'tcp:127.0.0.1:1');
  await page.fill('#last', '3');
  await send(page, 'form[action="/wizard/bus/scan"] button');
  await waitForEnd(page);
  await look(page, `wizard-bus-done-${lang}`);
  await page.goto(`${WEB}/wizard/meters`);
  await page.fill('#name', 'new');
  await page.fill('#endpoint', 'tcp:127.0.0.1:1');
  await page.fill('#address', '251');
  await page.fill('#bus', 'attic');
  await send(page, 'form[action="/wizard/meters/install"] button');
  if ((await page.getAttribute('#address', 'aria-invalid')) !== 'true') faults.push('a bad address is not told at its field');
  await look(page, `wizard-meters-bad-${lang}`);
  await page.goto(`${WEB}/wizard/wan`);
  await page.click('summary');
  await page.fill('#reason', 'no SIM yet');
  await send(page, 'form[action="/wizard/wan/skip"] button');
  await page.goto(`${WEB}/wizard`);
  await look(page, `wizard-skipped-${lang}`);
  await carryOut(page, 'report');
  if (!(await page.$('figure.code svg'))) faults.push('the report has no QR code');
  await look(page, `wizard-report-done-${lang}`);
}

await tell(async (browser) => {
  await arrive(browser, 'consumer', CONSUMER);
  await arrive(browser, 'technician', TECHNICIAN);
  for (const [language, screen, scheme] of VIEWS) {
    for (const [account, paths] of Object.entries(PAGES)) {
      const { context, page } = await open(browser, language, screen, scheme);
      await logIn(page, account, CHOSEN);
      const lang = await page.getAttribute('html', 'lang');
      check(language.startsWith(lang), `${account}: the start is in ${lang} for ${language}`);
      for (const path of paths) {
        await page.goto(`${WEB}${path}`);
        check((await page.getAttribute('html', 'lang')) === lang, `${path} is not in ${lang}`);
        const name = path.replace(/[^a-z]+/g, '-').replace(/^-/, '');
        await look(page, `${account}-${name}-${lang}-${screen}-${scheme}`);
      }
      if (account === 'consumer' && screen === 'phone') {
        await walk(page);
        await act(page, language);
        await err(page, lang);
      }
      if (account === 'technician' && screen === 'phone') await install(page, language);
      await context.close();
    }
  }
  checkLanguages(['de', 'en']);
  await lockOut(browser, 'de-DE');
  await lockOut(browser, 'en-GB');
});
