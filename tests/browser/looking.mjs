// What every story in a browser does: open one, look at its pages, fill in its forms, and tell what was wrong.
//
// Page errors, violations of the content security policy, what is loaded from elsewhere, serious findings of axe, pages that
// are wider than the screen, and cells that are broken within their words are faults.
//
// Environment: WEB, the address of the local web; MODULES, the folder with node_modules; SCREENSHOTS, the folder for a
// picture of every view.
import { createRequire } from 'node:module';

export const { WEB } = process.env;
const { MODULES, SCREENSHOTS } = process.env;
const require = createRequire(`${MODULES}/`);
const { chromium } = require('playwright-core');
const { AxeBuilder } = require('@axe-core/playwright');

export const CHOSEN = 'seven green bottles';
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const SCREENS = {
  phone: { width: 320, height: 640 },
  desktop: { width: 1280, height: 900 },
};
// What is taller is broken within its words: ten lines.
const TALLEST = 250;
/** How long a step of the wizard may take on a machine that does much else. */
export const PATIENCE = { timeout: 90_000 };
// What browsers say about refusals, which stories provoke: that they come is for each story to check.
const EXPECTED = /status of (40[01345]|413|422|429)|net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|NETWORK_CHANGED)/;

export const faults = [];
let looked = 0;

/** Notes a fault unless something is as it should be. */
export function check(isGood, text) {
  if (!isGood) faults.push(text);
}

/** Opens a browser of its own, with nothing of the others. */
export async function open(browser, language, screen, scheme) {
  const context = await browser.newContext({
    viewport: SCREENS[screen],
    locale: language,
    colorScheme: scheme,
    ignoreHTTPSErrors: true,
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(`${page.url()}: page error: ${error}`));
  page.on('dialog', async (dialog) => {
    faults.push(`${page.url()}: something typed was carried out: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on('console', (message) => {
    if (message.type() === 'error' && !EXPECTED.test(message.text())) faults.push(`${page.url()}: console: ${message.text()}`);
  });
  page.on('request', (request) => check(request.url().startsWith(WEB), `${page.url()} asks for ${request.url()}`));
  return { context, page };
}

/** Looks at the page that is open. */
export async function look(page, name) {
  looked += 1;
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
  for (const { id, impact, nodes } of violations) {
    const isSerious = impact === 'serious' || impact === 'critical';
    check(!isSerious, `${name}: axe: ${id} (${impact}): ${nodes.map((node) => node.html).slice(0, 3).join(' | ')}`);
  }
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wider <= 0, `${name}: ${wider} pixels wider than the screen`);
  const cells = await page.$$eval('td, th', (cells) => cells.map((cell) => cell.clientHeight));
  const tallest = Math.max(0, ...cells);
  check(tallest <= TALLEST, `${name}: a cell of a table is ${tallest} pixels tall`);
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

/** Logs in by the keyboard. */
export async function logIn(page, account, password) {
  await page.goto(`${WEB}/login`);
  await page.fill('#account', account);
  await page.fill('#password', password);
  await Promise.all([page.waitForNavigation(), page.press('#password', 'Enter')]);
}

/** Logs in for the first time: a wrong password is told, and the first one is changed. */
export async function begin(page, account, first) {
  await page.goto(WEB);
  await look(page, `${account}-login`);
  await logIn(page, account, 'not the password');
  const told = await page.textContent('[role=alert]');
  check(told?.includes('falsch'), `${account}: a wrong password is told as ${told}`);
  check((await page.inputValue('#account')) === account, `${account}: the account that was typed is lost`);
  await look(page, `${account}-wrong`);
  await logIn(page, account, first);
  check(page.url().endsWith('/password'), `${account}: the first password leads to ${page.url()}`);
  await look(page, `${account}-first`);
}

/** Chooses a password in place of the one that there is. */
export async function choose(page, old, chosen) {
  await page.fill('#old', old);
  await page.fill('#new', chosen);
  await page.fill('#again', chosen);
  await Promise.all([page.waitForNavigation(), page.press('#again', 'Enter')]);
}

/** Sends a form, and waits for what comes. */
export async function send(page, selector) {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

/** Waits until no step runs on the page; the script of the page watches it. */
export async function waitForEnd(page) {
  await page.waitForFunction(() => document.querySelector('#progress') && !document.querySelector('#progress[data-running]'), null, PATIENCE);
}

/** Begins a step of the wizard, and waits for its end. */
export async function carryOut(page, step, selector = `form[action="/wizard/${step}/start"] button`) {
  await page.goto(`${WEB}/wizard/${step}`);
  await send(page, selector);
  await waitForEnd(page);
}

/** Returns the class of a step's state on the overview: good, stale or soft. */
export async function stateOf(page, step) {
  await page.goto(`${WEB}/wizard`);
  return page.getAttribute(`a[href="/wizard/${step}"] + span`, 'class');
}

/** Has a story told in Chromium, and prints what was wrong. */
export async function tell(story) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium' });
  try {
    await story(browser);
  } catch (error) {
    faults.push(`it went no further: ${error.stack}`);
    for (const context of browser.contexts()) {
      for (const page of context.pages()) {
        const text = await page.innerText('body').catch(() => 'nothing');
        faults.push(`${page.url()} shows: ${text.slice(0, 2_000)}`);
      }
    }
  }
  await browser.close();
  console.log(JSON.stringify({ schema: 'smgw.browser/1', looked, faults }));
}
