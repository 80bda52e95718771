// The local web in a real browser: both languages, phone and desktop, light and dark, by keyboard too. Page errors,
// violations of the content security policy, serious findings of axe and pages that are wider than the screen fail.
//
// Environment: WEB, its address; CONSUMER and TECHNICIAN, first passwords; MODULES, the folder with node_modules;
// SCREENSHOTS, the folder for pictures of every page.
import { createRequire } from 'node:module';

const { WEB, CONSUMER, TECHNICIAN, MODULES, SCREENSHOTS } = process.env;
const require = createRequire(`${MODULES}/`);
const { chromium } = require('playwright-core');
const { AxeBuilder } = require('@axe-core/playwright');

const CHOSEN = 'seven green bottles';
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const SCREENS = {
  phone: { width: 320, height: 640 },
  desktop: { width: 1280, height: 900 },
};
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

// What is taller is broken within its words: ten lines.
const TALLEST = 250;

const faults = [];
let looked = 0;

/** Opens a browser of its own, with nothing of the others. */
async function open(browser, language, screen, scheme) {
  const context = await browser.newContext({
    viewport: SCREENS[screen],
    locale: language,
    colorScheme: scheme,
    ignoreHTTPSErrors: true,
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(`${page.url()}: page error: ${error}`));
  page.on('console', (message) => {
    // That the technician gets no history is what the test is about.
    const expected = message.text().includes('status of 403') || message.text().includes('status of 401') || message.text().includes('status of 422');
    if (message.type() === 'error' && !expected) faults.push(`${page.url()}: console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(WEB)) faults.push(`${page.url()} asks for ${request.url()}`);
  });
  return { context, page };
}

/** Looks at the page that is open. */
async function look(page, name) {
  looked += 1;
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
  for (const { id, impact, nodes } of violations) {
    if (impact === 'serious' || impact === 'critical') {
      faults.push(`${name}: axe: ${id} (${impact}): ${nodes.map((node) => node.html).slice(0, 3).join(' | ')}`);
    }
  }
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wider > 0) faults.push(`${name}: ${wider} pixels wider than the screen`);
  const cells = await page.$$eval('td, th', (cells) => cells.map((cell) => cell.clientHeight));
  const tallest = Math.max(0, ...cells);
  if (tallest > TALLEST) faults.push(`${name}: a cell of a table is ${tallest} pixels tall`);
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

async function logIn(page, account, password) {
  await page.goto(`${WEB}/login`);
  await page.fill('#account', account);
  await page.fill('#password', password);
  await page.press('#password', 'Enter');
  await page.waitForLoadState();
}

/** Logs in for the first time: a wrong password is told, and the first one is changed. */
async function begin(browser, account, first) {
  const { context, page } = await open(browser, 'de-DE', 'phone', 'light');
  await page.goto(WEB);
  await look(page, `${account}-login`);
  await logIn(page, account, 'not the password');
  const told = await page.textContent('[role=alert]');
  if (!told?.includes('falsch')) faults.push(`${account}: a wrong password is told as ${told}`);
  await look(page, `${account}-wrong`);
  await logIn(page, account, first);
  if (!page.url().endsWith('/password')) faults.push(`${account}: the first password leads to ${page.url()}`);
  await look(page, `${account}-first`);
  await page.fill('#old', first);
  await page.fill('#new', CHOSEN);
  await page.fill('#again', CHOSEN);
  await page.press('#again', 'Enter');
  await page.waitForLoadState();
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

/** Sends a form, and waits for what comes. */
async function send(page, selector) {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

/** Begins a step of the wizard, and waits for its end; the script of the page watches it. */
async function carryOut(page, step, selector) {
  await page.goto(`${WEB}/wizard/${step}`);
  await send(page, selector);
  await page.waitForFunction(() => !document.querySelector('#progress[data-running]'), null, { timeout: 60_000 });
}

/** Walks through the installation on a phone: every step, and bad input at the fields. */
async function install(page, lang) {
  for (const step of ['device', 'card', 'meters', 'wan']) {
    await carryOut(page, step, `form[action="/wizard/${step}/start"] button`);
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
  await page.waitForFunction(() => !document.querySelector('#progress[data-running]'), null, { timeout: 60_000 });
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
  await carryOut(page, 'report', 'form[action="/wizard/report/start"] button');
  if (!(await page.$('figure.code svg'))) faults.push('the report has no QR code');
  await look(page, `wizard-report-done-${lang}`);
}

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium' });
try {
  await begin(browser, 'consumer', CONSUMER);
  await begin(browser, 'technician', TECHNICIAN);
  for (const [language, screen, scheme] of VIEWS) {
    for (const [account, paths] of Object.entries(PAGES)) {
      const { context, page } = await open(browser, language, screen, scheme);
      await logIn(page, account, CHOSEN);
      for (const path of paths) {
        await page.goto(`${WEB}${path}`);
        const lang = await page.getAttribute('html', 'lang');
        if (!language.startsWith(lang)) faults.push(`${path} is in ${lang} for ${language}`);
        const name = path.replace(/[^a-z]+/g, '-').replace(/^-/, '');
        await look(page, `${account}-${name}-${lang}-${screen}-${scheme}`);
      }
      if (account === 'consumer' && screen === 'phone') {
        await walk(page);
        await act(page, language);
      }
      if (account === 'technician' && screen === 'phone') await install(page, language);
      await context.close();
    }
  }
} catch (error) {
  faults.push(`it went no further: ${error}`);
}
await browser.close();
console.log(JSON.stringify({ schema: 'smgw.browser/1', looked, faults }));
